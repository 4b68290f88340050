//! How soon, how small: time to ready, idle memory, size of the program.

use std::time::Duration;

use super::Setting;
use crate::failure::{Context, Result};
use crate::machine;
use crate::report::{Row, mebibytes};
use crate::stats::median;

const STARTS: usize = 5;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let mut ready = Vec::new();
    let mut idle = Vec::new();
    for start in 0..STARTS {
        let server = setting.cloud(&format!("start-{start}"))?;
        ready.push(server.ready_after.as_secs_f64() * 1e3);
        // What start-up needed for a moment is not idle memory.
        std::thread::sleep(Duration::from_millis(300));
        idle.push(mebibytes(machine::resident(server.pid())?));
    }
    let size = std::fs::metadata(&setting.program)
        .or_fail("cannot find the program")?
        .len();
    Ok(vec![
        Row::at_most(
            "ready, from exec on an empty directory",
            median(ready),
            150.0,
            "ms",
        ),
        Row::at_most("idle resident memory", median(idle), 40.0, "MiB"),
        Row::at_most("program", size as f64 / 1e6, 40.0, "MB"),
    ])
}
