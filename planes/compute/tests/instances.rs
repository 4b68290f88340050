//! Instances on a real kernel: their life, their identity, their death. Needs root, or user
//! namespaces; says so and passes where the host has neither.

mod common;

use std::time::{Duration, Instant};

use common::{Cloud, SOON, spec};
use gureum_compute::{Ended, How, Outcome, State};
use rustix::process::{Pid, Signal, kill_process};

const GRACE: Duration = Duration::from_secs(5);

fn kill(pid: i32) {
    let pid = Pid::from_raw(pid).expect("a process");
    kill_process(pid, Signal::KILL).expect("kill");
}

/// A web server in user data, as a person would write it.
const WEB: &[u8] = b"#!/bin/sh
date +%s%N >> /root/runs
mkdir -p /srv/web && echo hello > /srv/web/index.html
cd /srv/web && /usr/bin/python3 -m http.server 80 >/dev/null 2>&1 &
";
const GET: &str = "/usr/bin/python3 -c 'import urllib.request as u; \
    print(u.urlopen(\"http://127.0.0.1/\").read().decode(), end=\"\")'";

#[tokio::test]
async fn an_instance_boots_serves_stops_and_starts_again() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut web = spec("i-web");
    web.user_data = Some(WEB.to_vec());
    let begun = Instant::now();
    cloud.compute.start(&web).await.expect("start");
    println!("start: {:?}", begun.elapsed());
    assert_eq!(cloud.until("i-web", GET).await, "hello");
    println!("first answer: {:?}", begun.elapsed());
    let running = cloud.running("i-web").await;
    assert_eq!((running.boots, running.responsive), (1, true));
    assert_eq!(cloud.out("i-web", "hostname").await, "host-i-web");
    let boot_id = "cat /proc/sys/kernel/random/boot_id";
    assert_eq!(cloud.out("i-web", boot_id).await, running.boot_id);
    assert_eq!(cloud.out("i-web", "cat /proc/1/comm").await, "init");
    let resolver = cloud.out("i-web", "cat /etc/resolv.conf").await;
    assert!(
        resolver.contains("nameserver 169.254.169.253"),
        "{resolver}"
    );
    let console = cloud.console("i-web").await;
    assert!(console.contains("Cloud-init v. gureum-"), "{console}");

    // Started again while it runs, it goes on as it is.
    cloud.compute.start(&web).await.expect("start again");
    assert_eq!(cloud.running("i-web").await.boot_id, running.boot_id);

    cloud.compute.stop("i-web", GRACE).await.expect("stop");
    let State::Ended(ended) = cloud.state("i-web").await else {
        panic!("it still runs");
    };
    assert_eq!((ended.how, ended.by_itself), (How::PoweredOff, false));
    cloud
        .compute
        .stop("i-web", GRACE)
        .await
        .expect("stop again");

    cloud.compute.start(&web).await.expect("start");
    let anew = cloud.running("i-web").await;
    assert_ne!(anew.boot_id, running.boot_id);
    assert_eq!(cloud.until("i-web", "grep -c . /root/runs").await, "1");
    cloud.compute.remove("i-web").await.expect("remove");
    assert!(cloud.compute.observe().await.expect("observe").is_empty());
    cloud.close().await;
}

#[tokio::test]
async fn a_reboot_keeps_the_disk_and_does_not_run_user_data_again() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut box_ = spec("i-box");
    box_.user_data = Some(b"#!/bin/sh\necho once >> /root/runs\n".to_vec());
    cloud.compute.start(&box_).await.expect("start");
    cloud.until("i-box", "test -s /root/runs").await;
    let first = cloud.running("i-box").await;
    cloud
        .out(
            "i-box",
            "echo kept > /root/note; echo kept > /usr/local/note",
        )
        .await;

    cloud.compute.reboot("i-box", GRACE).await.expect("reboot");
    let second = cloud.running("i-box").await;
    assert_ne!(second.boot_id, first.boot_id);
    assert_eq!((second.boots, second.supervisor), (2, first.supervisor));
    assert_eq!(
        cloud.out("i-box", "cat /root/note /usr/local/note").await,
        "kept\nkept"
    );

    // From within, as its user would.
    let (outcome, _) = cloud.sh("i-box", "reboot; sleep 60").await;
    assert_ne!(outcome, Outcome::Exited(0));
    let begun = Instant::now();
    loop {
        if let State::Running(third) = cloud.state("i-box").await
            && third.boots == 3
        {
            break;
        }
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    cloud
        .until("i-box", "grep -q finished /var/log/cloud-init-output.log")
        .await;
    assert_eq!(cloud.out("i-box", "cat /root/runs").await, "once");
    cloud.close().await;
}

#[tokio::test]
async fn an_instance_that_powers_itself_off_is_heard_of() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut changes = cloud.compute.changes().expect("changes");
    cloud.compute.start(&spec("i-off")).await.expect("start");
    let (outcome, text) = cloud.sh("i-off", "poweroff").await;
    println!("{outcome:?} {text}");
    tokio::time::timeout(SOON, changes.next())
        .await
        .expect("heard");
    let State::Ended(ended) = cloud.state("i-off").await else {
        panic!("it still runs");
    };
    assert_eq!((ended.how, ended.by_itself), (How::PoweredOff, true));
    cloud.close().await;
}

#[tokio::test]
async fn instances_outlive_the_keeper_and_their_makers_and_are_found_again() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    cloud.compute.start(&spec("i-live")).await.expect("start");
    let before = cloud.running("i-live").await;
    cloud.out("i-live", "echo here > /dev/shm/memory").await;
    kill(keeper(&cloud));
    let adopted = cloud.again().observe().await.expect("observe");
    let State::Running(after) = &adopted[0].state else {
        panic!("{adopted:?}");
    };
    assert_eq!((&after.boot_id, after.pid), (&before.boot_id, before.pid));
    assert_eq!(cloud.out("i-live", "cat /dev/shm/memory").await, "here");
    // The new keeper starts others beside it.
    cloud.compute.start(&spec("i-next")).await.expect("start");
    assert_eq!(cloud.compute.observe().await.expect("observe").len(), 2);
    cloud.close().await;
}

fn keeper(cloud: &Cloud) -> i32 {
    let socket = std::os::unix::net::UnixStream::connect(cloud.dir.path().join("room/keeper.sock"));
    let peer = gureum_room::resident::peer(&socket.expect("keeper")).expect("peer");
    peer.as_raw_pid()
}

#[tokio::test]
async fn a_killed_first_process_is_noticed_and_a_killed_supervisor_takes_it_along() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut changes = cloud.compute.changes().expect("changes");
    cloud.compute.start(&spec("i-one")).await.expect("start");
    kill(cloud.running("i-one").await.pid);
    tokio::time::timeout(SOON, changes.next())
        .await
        .expect("heard");
    let State::Ended(ended) = cloud.state("i-one").await else {
        panic!("it still runs");
    };
    assert_eq!((ended.how, ended.by_itself), (How::Killed(9), true));

    cloud.compute.start(&spec("i-two")).await.expect("start");
    let running = cloud.running("i-two").await;
    kill(running.supervisor);
    let begun = Instant::now();
    while std::path::Path::new(&format!("/proc/{}/root", running.pid)).exists() {
        assert!(begun.elapsed() < SOON, "its first process lives on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let unseen = Ended {
        how: How::Unseen,
        by_itself: true,
        at: 0,
    };
    assert_eq!(cloud.state("i-two").await, State::Ended(unseen));
    // And may be started again.
    cloud.compute.start(&spec("i-two")).await.expect("start");
    cloud.running("i-two").await;
    cloud.close().await;
}

#[tokio::test]
async fn one_that_does_not_respond_is_told_and_can_be_stopped() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    cloud.compute.start(&spec("i-dumb")).await.expect("start");
    let pid = Pid::from_raw(cloud.running("i-dumb").await.pid).expect("pid");
    kill_process(pid, Signal::STOP).expect("stop");
    let begun = Instant::now();
    while cloud.running("i-dumb").await.responsive {
        assert!(begun.elapsed() < SOON);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    cloud
        .compute
        .stop("i-dumb", Duration::ZERO)
        .await
        .expect("stop");
    let State::Ended(ended) = cloud.state("i-dumb").await else {
        panic!("it still runs");
    };
    assert_eq!(ended.how, How::Killed(9));
    cloud.close().await;
}

#[tokio::test]
async fn cloud_config_is_honoured_in_order() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut config = spec("i-config");
    config.env = vec![("COLOUR".into(), "blue".into())];
    config.user_data = Some(
        b"#cloud-config\nhostname: renamed\nwrite_files:\n\
          - {path: /opt/a/b, content: 'written ', permissions: '0640'}\n\
          - {path: /opt/a/b, content: 'twice', append: true, permissions: '0640'}\n\
          runcmd:\n- echo $COLOUR > /opt/colour\n- [touch, /opt/with space]\n- 'false'\n- echo said\n"
            .to_vec(),
    );
    cloud.compute.start(&config).await.expect("start");
    cloud
        .until(
            "i-config",
            "grep -q 'finished' /var/log/cloud-init-output.log",
        )
        .await;
    assert_eq!(cloud.out("i-config", "cat /opt/a/b").await, "written twice");
    assert_eq!(cloud.out("i-config", "stat -c %a /opt/a/b").await, "640");
    assert_eq!(
        cloud.out("i-config", "cat /opt/colour; ls /opt").await,
        "blue\na\ncolour\nwith space"
    );
    assert_eq!(cloud.out("i-config", "cat /etc/hostname").await, "renamed");
    let console = cloud.console("i-config").await;
    assert!(
        console.contains("runcmd: /bin/sh: exit status: 1"),
        "{console}"
    );
    assert!(console.contains("said"), "{console}");
    cloud.close().await;
}

#[tokio::test]
async fn the_holder_of_the_key_comes_in_by_ssh() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    if !cloud.root().await || !std::path::Path::new("/usr/sbin/sshd").exists() {
        println!("SKIPPED: an SSH server needs several user ids, and to be installed");
        return cloud.close().await;
    }
    let key = cloud.dir.path().join("key");
    let made = std::process::Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-f"])
        .arg(&key)
        .status();
    assert!(made.expect("ssh-keygen").success());
    let public = std::fs::read_to_string(key.with_extension("pub")).expect("public key");
    let private = std::fs::read_to_string(&key).expect("private key");
    let mut shell = spec("i-ssh");
    shell.authorized_keys = vec![("ec2-user".into(), public)];
    cloud.compute.start(&shell).await.expect("start");
    cloud
        .until("i-ssh", "grep -q finished /var/log/cloud-init-output.log")
        .await;
    let keep = format!("umask 077; cat > /root/key <<'END'\n{private}END");
    cloud.out("i-ssh", &keep).await;
    let options = "-o StrictHostKeyChecking=no -o BatchMode=yes -o ConnectTimeout=5 -i /root/key";
    let come = |user: &str| format!("ssh {options} {user}@127.0.0.1 'id -un; echo $HOME'");
    let said = cloud.until("i-ssh", &come("ec2-user")).await;
    assert!(said.ends_with("ec2-user\n/home/ec2-user"), "{said}");
    let (outcome, _) = cloud.sh("i-ssh", &come("root")).await;
    assert_ne!(outcome, Outcome::Exited(0));
    assert!(
        cloud
            .console("i-ssh")
            .await
            .contains("BEGIN SSH HOST KEY FINGERPRINTS")
    );
    cloud.close().await;
}

#[tokio::test]
async fn what_cannot_boot_says_why() {
    let Some(cloud) = Cloud::open().await else {
        return;
    };
    let mut broken = spec("i-broken");
    broken.ca_bundle = Some("/nowhere/ca.pem".into());
    let error = cloud.compute.start(&broken).await.expect_err("broken");
    assert!(error.to_string().contains("/nowhere/ca.pem"), "{error}");
    assert!(matches!(
        cloud.state("i-broken").await,
        State::Ended(Ended {
            how: How::Failed(_),
            ..
        })
    ));
    for id in ["", "../x", "a/b", "a b"] {
        assert!(cloud.compute.start(&spec(id)).await.is_err(), "{id:?}");
    }
    cloud.close().await;
}
