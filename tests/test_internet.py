"""What instances find beyond all VPCs: the internet in the name of the host, by root and by a user without
any rights, and never the host itself. The internet is a server in a namespace that the test makes."""

import contextlib
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from conftest import private_cloud
from test_ebs import inside
from test_ec2 import show
from test_lecture import Network, humble_cloud, only_root_can_drop_rights

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="the internet is a namespace that only root can make")

SERVER = """
import http.server
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"hello {self.client_address[0]}".encode())
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("", 80), Page)
print("ready", flush=True)
server.serve_forever()
"""

# Says what a server says, or that it says nothing.
ASK = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=3).read().decode())
except OSError:
    print("silence")
"""


class World:
    """A server that this host reaches over a link, and under which address of its own it does."""

    # From a block for documentation, four addresses for each worker.
    BASE = 4 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    own, server = f"203.0.113.{BASE + 1}", f"203.0.113.{BASE + 2}"
    hello = f"hello {own}"
    url = f"http://{server}/"


def run(*command):
    subprocess.run([str(part) for part in command], check=True)


@contextlib.contextmanager
def world():
    link = f"world{os.getpid()}"
    process = subprocess.Popen(["unshare", "--net", sys.executable, "-c", SERVER], stdout=subprocess.PIPE)
    try:
        process.stdout.readline()
        run("ip", "link", "add", link, "type", "veth", "peer", "name", "in", "netns", process.pid)
        try:
            run("ip", "addr", "add", f"{World.own}/30", "dev", link)
            run("ip", "link", "set", link, "up")
            there = ["nsenter", "--net", "--target", process.pid, "ip"]
            run(*there, "addr", "add", f"{World.server}/30", "dev", "in")
            run(*there, "link", "set", "in", "up")
            yield World
        finally:
            run("ip", "link", "del", link)
    finally:
        process.kill()
        process.wait()


class Hello(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"the host sees {self.client_address[0]}".encode())

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def server_of_the_host(address=""):
    """One that listens at all of the host's addresses, or at one; its port."""
    server = ThreadingHTTPServer((str(address), 0), Hello)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port
    finally:
        server.shutdown()


def ask(cloud, instance, url):
    return inside(cloud, instance, f"python3 - {url} <<'END'\n{ASK}\nEND\n")


def comes_to(expected, cloud, instance, url):
    for _ in range(20):
        if (answer := ask(cloud, instance, url)) == expected:
            return
        time.sleep(0.5)
    raise AssertionError(f"{url}: {answer!r}, not {expected!r}")


def has_shut_out(cloud, instance, *addresses):
    with server_of_the_host() as port:
        for address in addresses:
            assert ask(cloud, instance, f"http://{address}:{port}/") == "silence"


def test_as_root():
    with world() as beyond, private_cloud() as cloud:
        ec2 = cloud.client("ec2")
        instance = Network(ec2).launch()
        assert ask(cloud, instance, beyond.url) == beyond.hello
        at = next(cloud.pool.network.hosts())
        has_shut_out(cloud, instance, beyond.own, at)
        with server_of_the_host(at) as port:
            public = show(ec2, instance)["PublicIpAddress"]
            assert ask(cloud, instance, f"http://{at}:{port}/") == f"the host sees {public}"
        cloud.kill()
        assert ask(cloud, instance, beyond.url) == beyond.hello
        cloud.flags = ("--no-internet",)
        cloud.start()
        comes_to("silence", cloud, instance, beyond.url)


def carriers(cloud):
    """The processes that carry to the internet for a cloud: what they serve is a process of its room."""
    found = []
    for process in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (process / "cmdline").read_text().split("\0")
            if words[0] == "slirp4netns":
                room = next(word for word in words[1:] if word.isdigit())
                if str(cloud.directory) in pathlib.Path(f"/proc/{room}/cmdline").read_text():
                    found.append(int(process.name))
    return found


def has_ended(process):
    """Or is about to: whoever adopted it may not have noticed yet."""
    try:
        state = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return True
    return state == "Z"


@only_root_can_drop_rights
@pytest.mark.skipif(not shutil.which("slirp4netns"), reason="slirp4netns is not installed")
def test_without_rights():
    with world() as beyond:
        with humble_cloud() as cloud:
            instance = Network(cloud.client("ec2")).launch()
            assert ask(cloud, instance, beyond.url) == beyond.hello
            has_shut_out(cloud, instance, beyond.own, "192.0.0.2")

            # Killed, it comes back; it outlives the cloud; and the next cloud takes it over.
            (carrier,) = carriers(cloud)
            os.kill(carrier, signal.SIGKILL)
            comes_to(beyond.hello, cloud, instance, beyond.url)
            (carrier,) = carriers(cloud)
            cloud.kill()
            assert ask(cloud, instance, beyond.url) == beyond.hello
            cloud.start()
            assert cloud.client("ec2").describe_instance_status()["InstanceStatuses"]
            comes_to(beyond.hello, cloud, instance, beyond.url)
            assert carriers(cloud) == [carrier]
        assert has_ended(carrier)


@only_root_can_drop_rights
def test_without_rights_and_the_internet():
    with world() as beyond, humble_cloud("--no-internet") as cloud:
        instance = Network(cloud.client("ec2")).launch()
        assert ask(cloud, instance, beyond.url) == "silence"
        assert carriers(cloud) == []
