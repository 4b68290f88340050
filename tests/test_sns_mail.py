"""SNS's mail through a relay: a mail server of the test's own takes it, refuses it, or is not there; over
TLS, and for those who log in."""

import base64
import email
import email.policy
import socketserver
import threading
import time

import pytest

from conftest import private_cloud
from oidc_issuer import PEM, tls
from test_sns import eventually, fetch, mails

USER, PASSWORD = "ann@example.com", "correct horse 구름"


class Server(socketserver.ThreadingTCPServer):
    """Takes mail as RFC 5321 says, save what `answers` has for an address: codes, one per attempt.

    With `always` it speaks TLS from the first byte on, otherwise it offers `offers`, and TLS where that
    has STARTTLS. Where there is a `password`, nobody sends without it.
    """

    allow_reuse_address = daemon_threads = True

    def __init__(self, answers=(), port=0, offers=(), always=False, password=None):
        super().__init__(("127.0.0.1", port), Conversation)
        self.answers = dict(answers)
        self.offers, self.always, self.password = offers, always, password
        self.context, self.authority = tls()
        self.attempts, self.got = [], []
        # Commands that came unencrypted, and the passwords that did not fit.
        self.clear, self.wrong = [], []
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

    def encrypt(self):
        self.request = self.server.context.wrap_socket(self.request, server_side=True)
        super().setup()
        self.encrypted = True

    def ask(self, question):
        self.say("334 " + base64.b64encode(question).decode())
        return base64.b64decode(self.rfile.readline())

    def check(self, user, password):
        if (user.decode(), password.decode()) == (USER, self.server.password):
            self.known = True
            return self.say("235 welcome")
        self.server.wrong.append(password.decode())
        self.say("535 who are you")

    def handle(self):
        self.known, self.encrypted = self.server.password is None, False
        if self.server.always:
            self.encrypt()
        self.say("220-welcome", "220 sink")
        recipient = None
        while line := self.rfile.readline():
            command = line.decode("ascii").rstrip("\r\n")
            verb = command.upper()
            if not self.encrypted:
                self.server.clear.append(verb.split()[0])
            if verb.startswith("EHLO"):
                offers = ("PIPELINING", *(o for o in self.server.offers if o != "STARTTLS" or not self.encrypted))
                self.say("250-sink", *(f"250-{offer}" for offer in offers), "250 8BITMIME")
            elif verb == "STARTTLS":
                self.say("220 go on")
                self.encrypt()
            elif verb.startswith("AUTH PLAIN "):
                self.check(*base64.b64decode(command[11:]).split(b"\0")[1:])
            elif verb == "AUTH LOGIN":
                self.check(self.ask(b"Username:"), self.ask(b"Password:"))
            elif verb.startswith("MAIL") and not self.known:
                self.say("530 log in first")
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


def trusting(server, home):
    """An environment in which the server's authority is the only one."""
    path = home / "authority.pem"
    path.write_bytes(server.authority.public_bytes(PEM))
    return {"SSL_CERT_FILE": str(path)}


def password_file(home):
    path = home / "password"
    path.touch(mode=0o600)
    path.write_text(PASSWORD + "\n")
    return ("--mail-relay-password-file", str(path))


def assert_delivers(cloud, server):
    sns, topic = subscribed(cloud, server, "bob@example.com")
    sns.publish(TopicArn=topic, Subject="Hi", Message="hello")
    letters = eventually(lambda: len(found := server.letters("bob@example.com")) == 2 and found)
    assert letters[1]["Subject"] == "Hi"
    assert PASSWORD not in cloud.log(whole=True)


def stays(cloud, server, why):
    """A mail that is written while the relay is not as it should be: it stays here, and the log says why."""
    sns = cloud.client("sns")
    topic = sns.create_topic(Name="news")["TopicArn"]
    sns.subscribe(TopicArn=topic, Protocol="email", Endpoint="bob@example.com")
    eventually(lambda: why in cloud.log(whole=True))
    assert server.got == [] and len(mails(cloud, "bob@example.com")) == 1


def test_a_login_waits_for_tls(tmp_path):
    server = Server(offers=("STARTTLS", "AUTH PLAIN LOGIN"), password=PASSWORD)
    url = f"smtp://ann%40example.com@127.0.0.1:{server.port}"
    with private_cloud("--mail-relay", url, *password_file(tmp_path), environment=trusting(server, tmp_path)) as cloud:
        assert_delivers(cloud, server)
    assert set(server.clear) == {"EHLO", "STARTTLS"} and server.wrong == []
    server.close()


def test_tls_from_the_first_byte_on(tmp_path):
    server = Server(offers=("AUTH LOGIN",), always=True, password=PASSWORD)
    environment = trusting(server, tmp_path) | {"GUREUM_MAIL_RELAY_PASSWORD": PASSWORD}
    url = f"smtps://{USER}@localhost:{server.port}"
    with private_cloud("--mail-relay", url, environment=environment) as cloud:
        assert_delivers(cloud, server)
    assert server.clear == [] and server.wrong == []
    server.close()


def test_no_login_goes_out_in_the_clear(tmp_path):
    server = Server(offers=("AUTH PLAIN LOGIN",), password=PASSWORD)
    url = f"smtp://{USER}@127.0.0.1:{server.port}"
    with private_cloud("--mail-relay", url, *password_file(tmp_path), environment=trusting(server, tmp_path)) as cloud:
        stays(cloud, server, "does not offer STARTTLS")
    assert set(server.clear) == {"EHLO"} and server.wrong == []
    server.close()


def test_a_server_that_nobody_vouches_for_gets_neither_login_nor_mail(tmp_path):
    server = Server(offers=("STARTTLS", "AUTH PLAIN LOGIN"), password=PASSWORD)
    url = f"smtp://{USER}@127.0.0.1:{server.port}"
    with private_cloud("--mail-relay", url, *password_file(tmp_path)) as cloud:
        stays(cloud, server, "is not trusted")
    assert set(server.clear) == {"EHLO", "STARTTLS"} and server.wrong == []
    server.close()


def test_mail_waits_until_the_login_is_right(tmp_path):
    server = Server(offers=("STARTTLS", "AUTH PLAIN"), password="another")
    url = f"smtp://{USER}@127.0.0.1:{server.port}"
    with private_cloud("--mail-relay", url, *password_file(tmp_path), environment=trusting(server, tmp_path)) as cloud:
        stays(cloud, server, "refuses the login: 535 who are you")
        assert set(server.wrong) == {PASSWORD}
        server.password = PASSWORD
        assert eventually(lambda: server.letters("bob@example.com"), seconds=40)
        assert PASSWORD not in cloud.log(whole=True)
    server.close()
