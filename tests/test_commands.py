"""The command line: up, env, status, doctor, down, reset, coverage, and what they say when it goes wrong."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import urllib.parse

import pytest
from conftest import BIN, CLEAN, Cloud

# Without the settings that keep the clouds of parallel tests apart: they would beat a file's.
BARE = {k: v for k, v in CLEAN.items() if not k.startswith("GUREUM_")}


@pytest.fixture
def home(tmp_path):
    """A directory in which no cloud runs yet."""
    return tmp_path / "data"


@pytest.fixture
def started(home):
    """Starts clouds on the test's directory, and stops what still runs at the end."""
    clouds = []

    def start(*flags, **options):
        clouds.append(Cloud(home, *flags, **options))
        return clouds[-1].start()

    yield start
    for cloud in clouds:
        cloud.stop()


def gureum(*args, environment=None, **kwargs):
    environment = {**BARE, **(environment or {})}
    return subprocess.run(
        [BIN, *map(str, args)], capture_output=True, text=True, env=environment, timeout=60, **kwargs
    )


def port_of(cloud):
    return urllib.parse.urlsplit(cloud.url).port


# up


def test_up_says_what_a_person_needs(cloud):
    said = cloud.log(whole=True)
    for word in ("is ready", cloud.url, "gureum env --data-dir", "signatures are verified", "us-east-1"):
        assert word in said
    assert cloud.environment["AWS_SECRET_ACCESS_KEY"] not in said


def test_a_directory_has_one_cloud(cloud):
    done = gureum("up", "--data-dir", cloud.directory, "--listen", "127.0.0.1:0")
    assert done.returncode == 1
    assert f"A cloud runs on {cloud.directory} already (pid {cloud.process.pid}, {cloud.url})" in done.stderr
    assert "gureum down" in done.stderr
    assert cloud.page("health")["status"] == "ready"


def test_a_port_in_use_is_named(cloud, home):
    taken = f"127.0.0.1:{port_of(cloud)}"
    done = gureum("up", "--data-dir", home, "--listen", taken)
    assert done.returncode == 1 and f"listen: cannot bind {taken}" in done.stderr
    assert "--listen" in done.stderr.split("\n", 1)[1]
    assert gureum("env", "--data-dir", home).returncode == 1


BAD = [
    ("listen", "nowhere"),
    ("region", "Mars"),
    ("domain", "a..b"),
    ("auth", "lax"),
    ("account_id", "12"),
    ("web_ports", "maybe"),
]


@pytest.mark.parametrize("key, value", BAD, ids=[key for key, _ in BAD])
def test_a_bad_value_names_its_key_wherever_it_stands(home, tmp_path, key, value):
    flag = "--" + key.replace("_", "-")
    file = tmp_path / "gureum.toml"
    file.write_text(f'{key} = "{value}"\n')
    for args, environment in (
        ([flag, value], {}),
        ([], {"GUREUM_" + key.upper(): value}),
        (["--config", file], {}),
    ):
        done = gureum("up", "--data-dir", home, *args, environment=environment)
        assert done.returncode in (1, 2), (args, environment)
        assert key in done.stderr.replace("-", "_") and value in done.stderr
    assert not home.exists()


@pytest.mark.parametrize(
    "text, said", [("lisen = 'x'", "lisen"), ("listen = ", "gureum.toml"), ("listen = 5", "listen")]
)
def test_a_bad_file_is_explained(home, tmp_path, text, said):
    file = tmp_path / "gureum.toml"
    file.write_text(text)
    done = gureum("up", "--data-dir", home, "--config", file)
    assert done.returncode == 1 and "config:" in done.stderr and said in done.stderr


def test_a_missing_file_is_named(home, tmp_path):
    done = gureum("up", "--data-dir", home, "--config", tmp_path / "none.toml")
    assert done.returncode == 1 and "none.toml" in done.stderr


def test_relaxed_stays_on_loopback(home):
    done = gureum("up", "--data-dir", home, "--auth", "relaxed", "--listen", "0.0.0.0:0")
    assert done.returncode == 1 and "loopback" in done.stderr


def test_flag_beats_environment_beats_file(started, tmp_path):
    file = tmp_path / "gureum.toml"
    file.write_text('region = "eu-west-1"\naccount_id = "111111111111"\ndomain = "cloud.test"\n')
    cloud = started(
        "--config", file, "--region", "ap-northeast-2",
        environment={"GUREUM_REGION": "eu-west-3", "GUREUM_ACCOUNT_ID": "222222222222"},
    )
    assert cloud.environment["AWS_REGION"] == "ap-northeast-2"
    assert cloud.client("sts").get_caller_identity()["Account"] == "222222222222"


def test_a_chosen_root_key(started, home):
    chosen = {
        "GUREUM_ROOT_ACCESS_KEY_ID": "AKIAROOTROOTROOTROOT",
        "GUREUM_ROOT_SECRET_ACCESS_KEY": "a secret/with+'quotes'",
        "GUREUM_ACCOUNT_ID": "123456789012",
    }
    cloud = started(environment=chosen)
    assert cloud.environment["AWS_ACCESS_KEY_ID"] == "AKIAROOTROOTROOTROOT"
    assert cloud.environment["AWS_SECRET_ACCESS_KEY"] == "a secret/with+'quotes'"
    assert cloud.client("sts").get_caller_identity()["Arn"] == "arn:aws:iam::123456789012:root"


@pytest.mark.parametrize(
    "environment, key",
    [({"GUREUM_ROOT_ACCESS_KEY_ID": "AKIA1"}, "GUREUM_ROOT_SECRET_ACCESS_KEY"),
     ({"GUREUM_ROOT_SECRET_ACCESS_KEY": "s"}, "GUREUM_ROOT_ACCESS_KEY_ID"),
     ({"GUREUM_ROOT_ACCESS_KEY_ID": "a/b", "GUREUM_ROOT_SECRET_ACCESS_KEY": "s"}, "root_access_key_id")],
    ids=["no-secret", "no-id", "slash"],
)
def test_half_a_root_key_is_refused(home, environment, key):
    done = gureum("up", "--data-dir", home, environment=environment)
    assert done.returncode == 1 and key in done.stderr


def test_web_ports_are_open_where_possible(started):
    cloud = started(environment={"GUREUM_WEB_PORTS": "auto"})
    line = next(line for line in cloud.log().splitlines() if "web ports" in line)
    if "127.0.0.1:80 is open" not in line:
        pytest.skip(line.strip())
    with socket.create_connection(("127.0.0.1", 80), 60) as stream:
        stream.sendall(b"GET /_gureum/health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert stream.recv(12) == b"HTTP/1.1 200"


# What the directory holds


def test_secrets_are_for_their_owner_alone(cloud):
    directory = cloud.directory
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    secret = [directory / "root-credentials.json", directory / "ca" / "ca.key"]
    secret += [path for path in (directory / "secrets").glob("*") if path.is_file()]
    for path in secret:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    stored = json.loads(secret[0].read_text())
    assert stored["secret_access_key"] == cloud.environment["AWS_SECRET_ACCESS_KEY"]


def test_the_same_root_key_and_authority_after_a_restart(started, home):
    cloud = started()
    environment, authority = dict(cloud.environment), (home / "ca" / "ca.pem").read_text()
    cloud.stop()
    again = started()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        assert again.environment[name] == environment[name]
    assert (home / "ca" / "ca.pem").read_text() == authority
    assert again.client("sts", tls=True).get_caller_identity()


# env


def test_env_is_for_a_shell(cloud):
    script = f'eval "$("{BIN}" env --data-dir "{cloud.directory}")" && env'
    done = subprocess.run(
        ["sh", "-c", script], capture_output=True, text=True,
        env={**CLEAN, "AWS_PROFILE": "old", "AWS_SESSION_TOKEN": "old"},
    )
    seen = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    for name, value in cloud.environment.items():
        assert seen[name] == value
    assert "AWS_PROFILE" not in seen and "AWS_SESSION_TOKEN" not in seen
    assert {"AWS_ENDPOINT_URL", "AWS_DEFAULT_REGION", "AWS_CA_BUNDLE"} <= set(cloud.environment)


def test_the_stock_cli_works_with_it(cloud):
    said = json.loads(cloud.cli("sts", "get-caller-identity", "--output", "json").stdout)
    assert said["Account"] == "000000000000"
    assert cloud.cli("sts", "get-caller-identity", tls=True).returncode == 0


COMMANDS = (["env"], ["status"], ["status", "--json"], ["coverage"])


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_without_a_cloud_commands_say_so_and_print_nothing(home, command):
    done = gureum(*command, "--data-dir", home)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No cloud runs on {home}" in done.stderr and "gureum up" in done.stderr


def test_after_kill_9_no_cloud_runs_whoever_has_its_pid(started, home):
    cloud = started()
    cloud.kill()
    run = home / "run.json"
    assert run.exists()
    # The pid has gone to another process: this one.
    run.write_text(json.dumps({**json.loads(run.read_text()), "pid": os.getpid()}))
    assert gureum("env", "--data-dir", home).returncode == 1
    done = gureum("down", "--data-dir", home)
    assert done.returncode == 0 and "No cloud runs" in done.stdout
    again = started()
    assert again.page("health")["status"] == "ready"


def test_what_was_acknowledged_survives_kill_9(started, name):
    cloud = started()
    user = name("user")
    cloud.client("iam").create_user(UserName=user)
    cloud.kill()
    assert started().client("iam").get_user(UserName=user)["User"]["UserName"] == user


# status, coverage, doctor


def test_status_for_people_and_programs(cloud):
    cloud.client("sts").get_caller_identity()
    told = json.loads(cloud.gureum("status", "--json").stdout)
    assert told["services"]["sts"]["operations"]["GetCallerIdentity"]["calls"] >= 1
    assert isinstance(told["reconcilers"], list)
    said = cloud.gureum("status").stdout
    assert "Services" in said and "sts" in said and "Background work" in said


def test_coverage_for_people_and_programs(cloud):
    told = json.loads(cloud.gureum("coverage", "--json").stdout)
    assert told["sts"]["GetCallerIdentity"]["status"] == "implemented"
    assert "  GetCallerIdentity" in cloud.gureum("coverage").stdout.splitlines()


def test_doctor_for_people_and_programs(cloud, home):
    told = json.loads(cloud.gureum("doctor", "--json", check=False).stdout)
    verdicts = {finding["name"]: finding for finding in told["findings"]}
    assert cloud.url in verdicts["front door"]["seen"]
    assert all(f["verdict"] == "good" or f["advice"] for f in told["findings"])
    done = gureum("doctor", "--data-dir", home)
    assert done.returncode == 0 and str(home) in done.stdout
    assert not home.exists(), "it only looks"
    assert not list(home.parent.glob(".gureum-doctor*")), "it leaves nothing"


def test_doctor_looks_at_the_machine_room(home):
    told = json.loads(gureum("doctor", "--data-dir", home, "--json").stdout)
    found = {finding["name"]: finding for finding in told["findings"]}
    room = found["machine room"]
    assert os.uname().release in room["seen"] or room["advice"]
    if "flow logs" in found:
        release = tuple(int(number) for number in os.uname().release.replace("-", ".").split(".")[:2])
        assert (found["flow logs"]["verdict"] == "good") == (release >= (6, 5))
    # Without root it takes a program that may be missing.
    if "internet" in found and os.geteuid() == 0:
        assert found["internet"]["verdict"] == "good"
    for name, path in {"FUSE": "/dev/fuse", "SSH server": "/usr/sbin/sshd"}.items():
        assert (found[name]["verdict"] == "good") == os.path.exists(path), found[name]
    packages = [finding["package"] for finding in told["findings"] if "package" in finding]
    assert told["install"] == (f"apt-get install {' '.join(packages)}" if packages else None)


def test_doctor_says_when_the_directory_cannot_be_made(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    done = gureum("doctor", "--data-dir", file / "data")
    assert done.returncode == 1 and "MISSING" in done.stdout


def test_a_reader_that_goes_away_is_no_failure(cloud):
    command = subprocess.Popen(
        [BIN, "coverage", "--data-dir", cloud.directory], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=CLEAN,
    )
    command.stdout.close()
    assert command.stderr.read() == "" and command.wait(60) == 0
    command.stderr.close()


# down, reset


def test_down_waits_until_it_has_stopped(started, home):
    cloud = started()
    done = gureum("down", "--data-dir", home)
    assert done.returncode == 0 and "has stopped" in done.stdout
    assert cloud.process.wait(30) == 0
    assert not (home / "run.json").exists()
    assert gureum("down", "--data-dir", home).returncode == 0


def test_down_and_up_at_once(started, home):
    for _ in range(3):
        started()
        assert gureum("down", "--data-dir", home).returncode == 0


def test_reset_stops_and_deletes_everything(started, home):
    cloud = started()
    done = gureum("reset", "--data-dir", home, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and "--yes" in done.stderr and home.exists()
    done = gureum("reset", "--yes", "--data-dir", home)
    assert done.returncode == 0 and not home.exists()
    assert cloud.process.wait(30) == 0
    assert gureum("reset", "--yes", "--data-dir", home).returncode == 0


def test_reset_deletes_only_what_is_gureums(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("keep me")
    done = gureum("reset", "--yes", "--data-dir", tmp_path)
    assert done.returncode == 1 and precious.read_text() == "keep me"


def test_a_newer_directory_is_refused_untouched(started, home):
    started().stop()
    marker = home / "store" / "FORMAT"
    newer = re.sub(r"\d+", "999", marker.read_text())
    marker.write_text(newer)
    done = gureum("up", "--data-dir", home, "--listen", "127.0.0.1:0")
    assert done.returncode == 1 and "999" in done.stderr
    assert marker.read_text() == newer


def test_the_second_signal_ends_it_at_once(started):
    cloud = started()
    with socket.create_connection(("127.0.0.1", port_of(cloud)), 60) as stream:
        # A request that never ends its body keeps the door open.
        stream.sendall(
            b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nA"
        )
        assert cloud.page("health")
        cloud.process.send_signal(signal.SIGTERM)
        # The door has heard the first one when it takes no more connections.
        while True:
            try:
                socket.create_connection(("127.0.0.1", port_of(cloud)), 60).close()
            except ConnectionError:
                break
        assert cloud.process.poll() is None
        cloud.process.send_signal(signal.SIGTERM)
        assert cloud.process.wait(30) == 130
