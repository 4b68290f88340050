"""What is done to instances from outside the API: shells, consoles, and faults injected on the host."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from conftest import BIN, CLEAN, eventually, private_cloud
from test_ec2 import console, gone, launch, show, until  # noqa: F401 (a fixture is used by its name)


@pytest.fixture
def ec2(cloud):
    return cloud.client("ec2")


@pytest.fixture
def instance(ec2, gone):  # noqa: F811
    ident = launch(ec2)["Instances"][0]["InstanceId"]
    gone.append(ident)
    until(ec2, "running", ident)
    return ident


def shell(cloud, instance, script):
    return subprocess.run(
        [BIN, "shell", instance, "--data-dir", cloud.directory],
        input=script, capture_output=True, text=True, env=CLEAN, timeout=60,
    )


def test_a_shell_executes_its_input(cloud, ec2, instance):
    done = shell(cloud, instance, "hostname\necho cry >&2\nexit 7\n")
    assert done.stdout.strip() == show(ec2, instance)["PrivateDnsName"]
    assert (done.stderr, done.returncode) == ("cry\n", 7)
    assert len(shell(cloud, instance, "head -c 1000000 /dev/zero | tr '\\0' x").stdout) == 1_000_000
    assert shell(cloud, instance, "kill -9 $$").returncode == 128 + signal.SIGKILL
    # Nothing of the host comes along by what the shell was given.
    assert "pipe:" in shell(cloud, instance, "readlink /proc/self/fd/0").stdout


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, *command):
        self.text = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execve(command[0], [str(word) for word in command], {**CLEAN, "TERM": "xterm"})

    def until(self, wanted):
        while wanted not in self.text:
            ready, _, _ = select.select([self.fd], [], [], 30)
            assert ready, self.text
            self.text += os.read(self.fd, 4096).decode(errors="replace")

    def type(self, text):
        os.write(self.fd, text.encode())


def test_a_shell_on_a_terminal(cloud, instance):
    terminal = Terminal(BIN, "shell", instance, "--data-dir", cloud.directory)
    before = termios.tcgetattr(terminal.fd)
    terminal.until("# ")
    terminal.type("echo size=$(stty size)=\n")
    terminal.until("size=0 0=")
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
    terminal.type("sleep 1; echo size=$(stty size)=\n")
    terminal.until("size=33 99=")
    # Keys reach the program that runs there, not the one here.
    terminal.type("sh -c 'trap \"echo caught; exit\" INT; echo wait''ing; while :; do sleep 1; done'\n")
    terminal.until("waiting")
    terminal.type("\x03")
    terminal.until("caught")
    terminal.type("exit 5\n")
    terminal.until("exit 5")
    _, status = os.waitpid(terminal.pid, 0)
    assert os.waitstatus_to_exitcode(status) == 5
    assert termios.tcgetattr(terminal.fd) == before


def test_what_a_shell_runs_ends_with_it(cloud, ec2, instance):
    client = subprocess.Popen(
        [BIN, "shell", instance, "--data-dir", cloud.directory],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=CLEAN,
    )
    client.stdin.write("echo $$\nsleep 1000\n")
    client.stdin.flush()
    pid = client.stdout.readline().strip()
    assert shell(cloud, instance, f"test -d /proc/{pid}").returncode == 0
    client.kill()
    client.wait()
    eventually(lambda: shell(cloud, instance, f"test -d /proc/{pid}").returncode == 1)


def test_consoles(cloud, ec2, gone):  # noqa: F811
    data = "#!/bin/sh\necho hello from $((6 * 7))\n"
    ident = launch(ec2, UserData=data)["Instances"][0]["InstanceId"]
    gone.append(ident)
    console(ec2, ident, "hello from 42")
    for command in ("console", "logs"):
        assert "hello from 42" in cloud.gureum(command, ident).stdout
    follower = subprocess.Popen(
        [BIN, "logs", "-f", ident, "--data-dir", cloud.directory],
        stdout=subprocess.PIPE, text=True, env=CLEAN,
    )
    try:
        while "hello from 42" not in follower.stdout.readline():
            pass
        shell(cloud, ident, "echo more > /dev/console")
        assert follower.stdout.readline().strip()
    finally:
        follower.kill()
        follower.wait()


def test_instances_that_are_not_there(cloud, instance):
    for command in ("shell", "console", "logs"):
        done = cloud.gureum(command, "i-0", check=False)
        assert done.returncode == 1
        assert "no instance i-0" in done.stderr and instance in done.stderr


def test_resources(cloud, ec2, instance):
    found = cloud.page(f"resources/{instance}")
    seen = show(ec2, instance)
    (pid,) = found["pids"]
    assert found["netns"] == f"/proc/{pid}/ns/net" and found["responsive"]
    assert os.readlink(found["netns"]) != os.readlink("/proc/self/ns/net")
    assert found["addresses"] == [seen["PrivateIpAddress"], seen["PublicIpAddress"]]
    assert found["dns_names"] == [seen["PrivateDnsName"], seen["PublicDnsName"]]
    assert os.path.isdir(found["data_dir"]) and found["host_ports"] == {}
    assert cloud.page(f"resources/{found['arn']}") == found
    assert instance in cloud.gureum("status").stdout


def test_a_killed_instance_is_noticed(cloud, ec2, instance):
    (pid,) = cloud.page(f"resources/{instance}")["pids"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: show(ec2, instance)["State"]["Name"] != "running")


def test_a_frozen_instance_is_impaired(cloud, ec2, instance):
    def health():
        (status,) = ec2.describe_instance_status(InstanceIds=[instance])["InstanceStatuses"]
        assert status["SystemStatus"]["Status"] == "ok"
        return status["InstanceStatus"]["Status"]

    (pid,) = cloud.page(f"resources/{instance}")["pids"]
    assert health() == "ok"
    os.kill(pid, signal.SIGSTOP)
    try:
        eventually(lambda: health() == "impaired")
    finally:
        os.kill(pid, signal.SIGCONT)
    eventually(lambda: health() == "ok")


def test_a_pool_that_is_taken(cloud, instance):
    taken = {"GUREUM_PUBLIC_POOL": str(cloud.pool.network)}
    with private_cloud(environment=taken) as other:
        with pytest.raises(Exception, match="--public-pool"):
            other.client("ec2").run_instances(
                ImageId="ami-0000000000000ba5e", InstanceType="t3.nano", MinCount=1, MaxCount=1
            )


@pytest.mark.skipif(os.geteuid() != 0, reason="without root, public addresses are no addresses of the host")
@pytest.mark.skipif(not os.path.exists("/usr/sbin/sshd"), reason="needs the distribution's SSH server")
def test_the_key_of_an_instance_lets_in(ec2, gone, name, tmp_path):  # noqa: F811
    name = name()
    private = tmp_path / "key"
    private.write_text(ec2.create_key_pair(KeyName=name, KeyType="ed25519")["KeyMaterial"])
    private.chmod(0o600)
    group = ec2.create_security_group(GroupName=name, Description=name)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    ident = launch(ec2, KeyName=name, SecurityGroupIds=[group])["Instances"][0]["InstanceId"]
    gone.append(ident)
    until(ec2, "running", ident)
    machine = show(ec2, ident)

    def ssh(*options):
        return subprocess.run(
            ["ssh", "-F", "none", "-o", "StrictHostKeyChecking=accept-new", "-o", "BatchMode=yes",
             "-o", f"UserKnownHostsFile={tmp_path}/hosts", "-o", "ConnectTimeout=5", *options,
             f"ec2-user@{machine['PublicIpAddress']}", "hostname; id -un"],
            capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
        )

    eventually(lambda: ssh("-i", private).returncode == 0)
    done = ssh("-i", private)
    assert done.stdout.split() == [machine["PrivateDnsName"], "ec2-user"]
    # The server tells its host key on the console, and nobody comes in without the pair's.
    fingerprint = subprocess.run(
        ["ssh-keygen", "-l", "-F", machine["PublicIpAddress"], "-f", f"{tmp_path}/hosts"],
        capture_output=True, text=True,
    ).stdout.split()[-1]
    assert fingerprint in console(ec2, ident, fingerprint)
    assert "Permission denied" in ssh("-o", "IdentityFile=none").stderr
