//! The keeper's half: launches the processes of volumes, and takes away what the dead ones left.

use std::fs;
use std::path::PathBuf;

use gureum_room::{Duty, Error, Inside, Program, Reply, Result, decode};
use serde::{Deserialize, Serialize};

use crate::process::{clear, resident_name};

pub(crate) const NAME: &str = "block";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Launch the process of a volume; the answer is where mount points are.
    Launch(String),
    /// Take away what the dead process of a volume left.
    Clear(String),
}

pub(crate) struct BlockDuty {
    /// How the program is told to be a volume's process.
    pub(crate) program: Program,
}

impl Duty for BlockDuty {
    fn name(&self) -> &'static str {
        NAME
    }

    fn perform(&mut self, request: &[u8], room: &Inside) -> Result<Reply> {
        let run = run_dir(room);
        match decode(request)? {
            Ask::Launch(volume) => {
                fs::create_dir_all(&run).map_err(Error::failed)?;
                let log = room.dir().join("volumes.log");
                room.launch(&resident_name(&volume), &self.program, &log)?;
            }
            Ask::Clear(volume) => {
                clear(&run.join(format!("{volume}.image"))).map_err(Error::failed)?;
            }
        }
        Reply::of(&run)
    }

    fn close(&mut self, room: &Inside) -> Result<()> {
        let Ok(entries) = fs::read_dir(run_dir(room)) else {
            return Ok(());
        };
        for entry in entries.flatten() {
            clear(&entry.path()).map_err(Error::failed)?;
        }
        Ok(())
    }
}

fn run_dir(room: &Inside) -> PathBuf {
    room.dir().join("volumes")
}
