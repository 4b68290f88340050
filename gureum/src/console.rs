//! `gureum console` and `gureum logs`: what an instance has written. Reads its files; neither the
//! cloud nor the instance need run.

use std::io::Write;
use std::time::Duration;

use gureum_compute::Compute;
use gureum_room::Room;

use crate::cli::LogArgs;
use crate::config::data_dir;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};

/// How often somebody who follows looks for more.
const LOOK: Duration = Duration::from_millis(200);
/// By how much of the old end the new text is joined to it.
const JOINT: usize = 1024;

pub(crate) fn run(args: &LogArgs) -> Result<(), Failure> {
    let compute = instances(&DataDir::at(data_dir(&args.cloud)?));
    known(&compute, &args.id)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_fail("cannot start the runtime")?;
    let doing = format!("cannot read the console of {}", args.id);
    runtime.block_on(async {
        let mut seen = Vec::new();
        loop {
            let text = compute.console(&args.id).await.or_fail(&doing)?;
            let mut out = std::io::stdout().lock();
            let told = out.write_all(news(&seen, &text)).and_then(|()| out.flush());
            // A reader that has gone away has seen enough.
            if told.is_err() || !args.follow {
                return Ok(());
            }
            seen = text;
            tokio::time::sleep(LOOK).await;
        }
    })
}

/// The instances of a data directory.
pub(crate) fn instances(dir: &DataDir) -> Compute {
    Compute::new(Room::at(&dir.room()), dir.compute())
}

/// Refuses an instance that is not there, and says which are.
pub(crate) fn known(compute: &Compute, id: &str) -> Result<(), Failure> {
    let ids = compute.ids().or_fail("cannot list the instances")?;
    if ids.iter().any(|known| known == id) {
        return Ok(());
    }
    let hint = match ids.is_empty() {
        true => "There are no instances; name the cloud's directory with --data-dir.".to_owned(),
        false => format!("There are: {}.", ids.join(", ")),
    };
    Err(Failure::new(format!("There is no instance {id} here.")).hint(hint))
}

/// What was written since. Only the end of a console is kept, so its beginning moves.
fn news<'a>(seen: &[u8], text: &'a [u8]) -> &'a [u8] {
    if let Some(rest) = text.strip_prefix(seen) {
        return rest;
    }
    let joint = &seen[seen.len().saturating_sub(JOINT)..];
    let at = text.windows(joint.len().max(1)).rposition(|w| w == joint);
    at.map_or(text, |at| &text[at + joint.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_follow_what_was_seen() {
        assert_eq!(news(b"", b"abc"), b"abc");
        assert_eq!(news(b"abc", b"abcde"), b"de");
        assert_eq!(news(b"abc", b"bcde"), b"bcde");
        let long: Vec<u8> = (0..3000u32).flat_map(u32::to_be_bytes).collect();
        assert_eq!(news(&long[..8000], &long[4000..9000]), &long[8000..9000]);
    }
}
