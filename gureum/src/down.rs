//! `gureum down` and `gureum reset`: stop, and stop for good.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use gureum_room::Room;
use rustix::process::{Pid, Signal, kill_process};

use crate::cli::{CloudArgs, ResetArgs};
use crate::config::{PUBLIC_POOL, data_dir};
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::machines::Host;
use crate::output::say;

/// How long a cloud may take to finish what it has begun.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn down(args: &CloudArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(args)?);
    let stopped = stop(&dir)?;
    close_room(&dir)?;
    match stopped {
        true => say(format_args!(
            "The cloud on {} has stopped.",
            dir.path().display()
        )),
        false => say(format_args!("No cloud runs on {}.", dir.path().display())),
    }
    Ok(())
}

pub(crate) fn reset(args: &ResetArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(&args.cloud)?);
    if !dir.path().exists() {
        say(format_args!(
            "Nothing to delete: {} does not exist.",
            dir.path().display()
        ));
        return Ok(());
    }
    // Only what is ours may be deleted, whatever the flag says.
    if !dir.store().exists() && !dir.ca().exists() {
        return Err(Failure::new(format!(
            "{} does not look like Gureum's data directory, so nothing was deleted.",
            dir.path().display()
        )));
    }
    if !args.yes && !confirmed(&dir)? {
        say("Nothing was deleted.");
        return Ok(());
    }
    stop(&dir)?;
    close_room(&dir)?;
    // Nobody may start a cloud on what is being deleted.
    let _lock = dir.lock()?;
    std::fs::remove_dir_all(dir.path())
        .or_fail(format_args!("cannot delete {}", dir.path().display()))?;
    say(format_args!("Deleted {}.", dir.path().display()));
    Ok(())
}

fn confirmed(dir: &DataDir) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(
            Failure::new("Nobody is here to confirm that everything may be deleted.")
                .hint("Add --yes."),
        );
    }
    print!("Delete everything under {}? [y/N] ", dir.path().display());
    std::io::stdout().flush().or_fail("cannot ask")?;
    let mut answer = String::new();
    std::io::stdin()
        .read_line(&mut answer)
        .or_fail("cannot read the answer")?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

/// Ends what a cloud that was killed has left running.
fn close_room(dir: &DataDir) -> Result<(), Failure> {
    let doing = "cannot close the machine room";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail(doing)?;
    runtime.block_on(async {
        // A cloud that was killed could not end its instances.
        match Host::at(dir, PUBLIC_POOL, false) {
            Ok(host) => host.leave().await,
            Err(error) => eprintln!("gureum: cannot open the volumes: {error}"),
        }
        Room::at(&dir.room()).close().await.or_fail(doing)
    })
}

/// Asks the cloud to stop and waits for it; false when none ran.
fn stop(dir: &DataDir) -> Result<bool, Failure> {
    let Some(running) = dir.running()? else {
        return Ok(false);
    };
    let pid = Pid::from_raw(running.pid).ok_or_else(|| dir.nothing_here())?;
    kill_process(pid, Signal::TERM).or_fail("cannot signal the cloud")?;
    let asked = Instant::now();
    while dir.holder()? == Some(running.pid) {
        if asked.elapsed() > PATIENCE {
            return Err(Failure::new(format!(
                "The cloud (pid {}) has not stopped within {} s.",
                running.pid,
                PATIENCE.as_secs()
            ))
            .hint(format!(
                "It loses nothing that it acknowledged if you `kill -9 {}`.",
                running.pid
            )));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}
