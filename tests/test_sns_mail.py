"""SNS's mail through a relay: a mail server of the test's own takes it, refuses it, or is not there."""

import email
import email.policy
import socketserver
import threading
import time

from conftest import private_cloud
from test_sns import eventually, fetch, mails


class Server(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 says, save what `answers` has for an address: codes, one per attempt."""

    allow_reuse_address = daemon_threads = True

    def __init__(self, answers=(), port=0):
        super().__init__(("127.0.0.1", port), Conversation)
        self.answers = dict(answers)
        self.attempts, self.got = [], []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def close(self):
        self.shutdown()
        self.server_close()

    def letters(self, address):
        return [letter for to, letter in self.got if to == address]


class Conversation(socketserver.StreamRequestHandler):
    def say(self, *lines):
        self.wfile.write(b"".join(line.encode() + b"\r\n" for line in lines))

    def handle(self):
        self.say("220-welcome", "220 sink")
        recipient = None
        for line in self.rfile:
            command = line.decode("ascii").rstrip("\r\n")
            verb = command.upper()
            if verb.startswith("EHLO"):
                self.say("250-sink", "250-PIPELINING", "250 8BITMIME")
            elif verb.startswith("RCPT TO:"):
                recipient = command[9:-1]
                self.server.attempts.append(recipient)
                waiting = self.server.answers.get(recipient)
                code = waiting.pop(0) if waiting else 250
                self.say(f"{code} so be it")
                if code != 250:
                    recipient = None
            elif verb == "DATA":
                self.say("354 go on")
                self.server.got.append((recipient, self.letter()))
                self.say("250 taken")
            elif verb == "QUIT":
                self.say("221 bye")
                return
            else:
                self.say("250 ok")

    def letter(self):
        lines = []
        for line in self.rfile:
            if line == b".\r\n":
                break
            assert line.endswith(b"\r\n") and b"\n" not in line[:-2], line
            lines.append(line[1:] if line.startswith(b".") else line)
        return email.message_from_bytes(b"".join(lines), policy=email.policy.default)


def relayed(server):
    return private_cloud("--mail-relay", f"smtp://127.0.0.1:{server.port}")


def subscribed(cloud, server, *addresses):
    """A topic with these addresses as its subscribers, who have all confirmed."""
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="news")["TopicArn"]
    for address in addresses:
        sns.subscribe(TopicArn=topic, Protocol="email", Endpoint=address)
        invitation = eventually(lambda: server.letters(address))[0]
        text = invitation.get_content()
        fetch(cloud, next(word for word in text.split() if "ConfirmSubscription" in word))
    return sns, topic


def test_mail_goes_through_the_relay_and_stays_in_the_mailbox():
    server = Server()
    with relayed(server) as cloud:
        sns, topic = subscribed(cloud, server, "ann@example.com")
        text = "first\n.\n.hidden\n구름 " + "x" * 3000
        sns.publish(TopicArn=topic, Subject="Hi", Message=text)
        letters = eventually(lambda: len(found := server.letters("ann@example.com")) == 2 and found)
        assert letters[1]["Subject"] == "Hi" and letters[1]["To"] == "ann@example.com"
        assert letters[1]["From"].endswith("<no-reply@sns.gureum.localhost>")
        assert letters[1].get_content().replace("\r\n", "\n").startswith(text)
        assert len(mails(cloud, "ann@example.com")) == 2
    server.close()


def test_later_means_later_and_no_means_no():
    server = Server({"busy@example.com": [250, 451], "gone@example.com": [250, 550]})
    with relayed(server) as cloud:
        sns, topic = subscribed(cloud, server, "busy@example.com", "gone@example.com", "ann@example.com")
        sns.publish(TopicArn=topic, Subject="Hi", Message="hello")
        assert eventually(lambda: len(server.letters("ann@example.com")) == 2)
        assert eventually(lambda: len(server.letters("busy@example.com")) == 2, seconds=40)
        assert server.attempts.count("busy@example.com") == 3
        assert server.attempts.count("gone@example.com") == 2 and len(server.letters("gone@example.com")) == 1
        # One that comes again is in the mailbox once.
        assert len(mails(cloud, "busy@example.com")) == 2
    server.close()


def test_mail_waits_for_a_relay_that_is_away_and_survives_a_kill():
    server = Server()
    port = server.port
    with relayed(server) as cloud:
        sns, topic = subscribed(cloud, server, "ann@example.com")
        server.close()
        sns.publish(TopicArn=topic, Subject="Hi", Message="hello")
        assert eventually(lambda: len(mails(cloud, "ann@example.com")) == 2)
        time.sleep(0.5)
        cloud.kill()
        server = Server(port=port)
        cloud.start()
        letters = eventually(lambda: server.letters("ann@example.com"), seconds=40)
        assert [letter["Subject"] for letter in letters] == ["Hi"]
    server.close()
