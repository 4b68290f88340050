"""One real cloud for all tests: the built binary on a fresh data directory, driven by stock clients.

`GUREUM_BIN` names the binary (the Makefile sets it). Tests share the cloud and run in parallel, so
each takes its own names from the `name` fixture.
"""

import contextlib
import fcntl
import ipaddress
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request
import uuid

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

BIN = os.environ.get("GUREUM_BIN", "gureum")
# What a developer's shell holds must not leak into the tests.
CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "GUREUM_"))}
# Nor may the clouds of parallel tests compete for the one pair of web ports.
CLEAN["GUREUM_WEB_PORTS"] = "off"


class Pool:
    """A network for public addresses that no other test cloud of this machine has meanwhile."""

    ALL = list(ipaddress.ip_network("198.18.0.0/15").subnets(new_prefix=21))

    def __init__(self):
        for number, network in enumerate(self.ALL):
            # The lock goes with the file, and the file with this object or the process.
            self.file = open(pathlib.Path(tempfile.gettempdir()) / f"gureum-pool-{number}.lock", "w")
            try:
                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            self.network = network
            return
        raise AssertionError("all networks for public addresses are taken")


class Cloud:
    """A running cloud and the ways to reach it."""

    def __init__(self, directory, *flags, port=0, environment=None):
        self.directory = pathlib.Path(directory)
        self.flags = flags
        self.port = port
        self.pool = Pool()
        pool = {"GUREUM_PUBLIC_POOL": str(self.pool.network)}
        self.shell = {**CLEAN, **pool, **(environment or {})}
        self.process = None
        self.environment = {}

    def start(self):
        log = open(self.directory.with_suffix(".log"), "ab")
        self.process = subprocess.Popen(
            [*self.command(), "up", "--data-dir", self.directory, "--listen", f"127.0.0.1:{self.port}", *self.flags],
            stdout=log, stderr=log, env=self.shell,
        )
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError("the cloud ended at once:\n" + self.log())
            out = subprocess.run(
                [BIN, "env", "--data-dir", self.directory], capture_output=True, text=True, env=CLEAN
            )
            if out.returncode == 0:
                self.environment = parse_exports(out.stdout)
                # The port stays the same over restarts, so that clients live on.
                self.port = int(self.url.rsplit(":", 1)[1])
                return self
            time.sleep(0.02)
        raise AssertionError("the cloud did not start:\n" + self.log())

    def command(self):
        return [BIN]

    def log(self, whole=False):
        text = self.directory.with_suffix(".log").read_text(errors="replace")
        return text if whole else text[-4000:]

    def kill(self):
        """kill -9: no chance to write anything."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(30)

    @property
    def url(self):
        return self.environment["AWS_ENDPOINT_URL"]

    @property
    def tls_url(self):
        return self.url.replace("http://", "https://")

    @property
    def ca(self):
        return self.environment["AWS_CA_BUNDLE"]

    def client(self, service, key=None, secret=None, token=None, region=None, tls=False, endpoint=None, **config):
        """A boto3 client; root's unless a key is given."""
        config.setdefault("retries", {"max_attempts": 0})
        config.setdefault("read_timeout", 60)
        return boto3.client(
            service,
            endpoint_url=endpoint or (self.tls_url if tls else self.url),
            verify=self.ca if tls else None,
            region_name=region or self.environment["AWS_DEFAULT_REGION"],
            aws_access_key_id=key or self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=secret or self.environment["AWS_SECRET_ACCESS_KEY"],
            aws_session_token=token,
            config=Config(**config),
        )

    def cli(self, *args, check=True, tls=False, **kwargs):
        """The stock AWS CLI, as a person would call it after `eval "$(gureum env)"`."""
        environment = {**CLEAN, **self.environment, "AWS_PAGER": "", "AWS_MAX_ATTEMPTS": "1"}
        if tls:
            environment["AWS_ENDPOINT_URL"] = self.tls_url
        done = subprocess.run(
            ["aws", *map(str, args)], capture_output=True, text=True, env=environment, **kwargs
        )
        if check and done.returncode:
            raise AssertionError(f"aws {shlex.join(map(str, args))}: {done.stderr}")
        return done

    def gureum(self, *args, check=True):
        done = subprocess.run(
            [BIN, *map(str, args), "--data-dir", self.directory], capture_output=True, text=True, env=CLEAN
        )
        if check and done.returncode:
            raise AssertionError(f"gureum {args}: {done.stderr}")
        return done

    def page(self, path):
        with urllib.request.urlopen(self.url + "/_gureum/" + path) as reply:
            return json.load(reply)


@contextlib.contextmanager
def refused(code, text=""):
    """Expects AWS's error `code`, with `text` in its message."""
    with pytest.raises(ClientError) as raised:
        yield raised
    error = raised.value.response["Error"]
    assert error["Code"] == code, raised.value
    assert text in error.get("Message", ""), raised.value


def refusal(code, call, *args, status=None, **kwargs):
    """The message of the error that this call must fail with."""
    with refused(code) as raised:
        call(*args, **kwargs)
    response = raised.value.response
    assert status in (None, response["ResponseMetadata"]["HTTPStatusCode"]), response
    return response["Error"]["Message"]


def eventually(probe, seconds=60):
    """The first truthy answer of `probe`, which is asked again and again."""
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.1)
    return found


def parse_exports(text):
    exports = {}
    for line in text.splitlines():
        if line.startswith("export "):
            name, value = line.removeprefix("export ").split("=", 1)
            exports[name] = shlex.split(value)[0]
    return exports


@pytest.fixture(scope="session")
def cloud():
    with private_cloud() as running:
        yield running


class private_cloud:
    """A cloud of a test's own, for tests that stop, kill or reconfigure it."""

    def __init__(self, *flags, environment=None):
        self.flags = flags
        self.environment = environment

    def __enter__(self):
        self.home = tempfile.mkdtemp(prefix="gureum-test-")
        self.cloud = Cloud(
            pathlib.Path(self.home) / "data", *self.flags, environment=self.environment
        )
        try:
            return self.cloud.start()
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_):
        self.cloud.stop()
        shutil.rmtree(self.home, ignore_errors=True)


@pytest.fixture
def client(cloud):
    return cloud.client


@pytest.fixture
def name():
    """A name that nobody else uses: `name()` or `name("queue")`."""
    return lambda stem="t": f"{stem}-{uuid.uuid4().hex[:12]}"
