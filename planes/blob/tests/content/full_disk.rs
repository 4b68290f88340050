//! A full disk, and a file size limit: refused as such, and nothing stays.
//!
//! Both need a process of their own: the test runs itself again, beneath a shell that sets the
//! scene first.

use super::*;
use std::process::Command;

const ROLE: &str = "GUREUM_BLOB_TEST_FULL";

/// The other side: writes until the disk is full. Does nothing unless started by the tests below.
#[test]
fn fill_the_disk() {
    let Some(dir) = std::env::var_os(ROLE) else {
        return;
    };
    let dir = PathBuf::from(dir);
    let blobs = Blobs::open(&dir).unwrap();
    runtime().block_on(async {
        let small = content(100_000);
        let before = store(&blobs, None, &small).await;
        let mut writer = blobs.create().await.unwrap();
        let chunk = Bytes::from(content(1 << 20));
        let mut failure = None;
        for _ in 0..16 {
            if let Err(error) = writer.write(chunk.clone()).await {
                failure = Some(error);
                break;
            }
        }
        assert!(matches!(failure, Some(Error::Full)), "{failure:?}");
        assert!(matches!(writer.write(chunk).await, Err(Error::Failed)));
        assert!(matches!(writer.commit().await, Err(Error::Failed)));
        assert_eq!(blobs.usage().await.unwrap().files, 1);
        assert_eq!(read(&blobs, before, None, None).await.unwrap(), small);
        // Room again: the failed content kept none of it.
        store(&blobs, None, &small).await;
    });
    println!("filled");
}

fn run_beneath(shell: &str, options: &[&str], script: &str) -> std::process::Output {
    let dir = tempfile::tempdir().unwrap();
    Command::new(shell)
        .args(options)
        .arg(format!(
            "{script} exec \"$0\" --exact full_disk::fill_the_disk --nocapture"
        ))
        .arg(std::env::current_exe().unwrap())
        .env(ROLE, dir.path())
        .output()
        .unwrap()
}

fn assert_filled(output: &std::process::Output) {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success() && said.contains("filled"), "{said}");
}

#[test]
fn a_file_size_limit_is_a_full_disk() {
    // 4 MiB in POSIX blocks of 512 bytes; the signal would end the process before the error shows.
    assert_filled(&run_beneath(
        "sh",
        &["-c"],
        "trap '' XFSZ; ulimit -f 8192 || exit 1;",
    ));
}

#[test]
fn a_full_file_system_is_a_full_disk() {
    let namespace = ["-Urm", "sh", "-c"];
    let mount = format!("mount -t tmpfs -o size=4m tmpfs \"${ROLE}\" || exit 77;");
    let output = match std::panic::catch_unwind(|| run_beneath("unshare", &namespace, &mount)) {
        Ok(output) if output.status.code() != Some(77) => output,
        _ => return eprintln!("SKIPPED: no tmpfs can be mounted here, full disk not tried"),
    };
    assert_filled(&output);
}
