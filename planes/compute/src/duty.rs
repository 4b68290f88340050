//! The keeper's half: launches supervisors, and takes away what only root of the room may. May
//! touch: the files of instances, their cgroups and network namespaces.

use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;

use gureum_room::{Doing, Duty, Inside, Program, Reply, Result, decode, resident};
use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::layout::{COMPUTE, Layout, resident_name};

pub(crate) const NAME: &str = "compute";

#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ask {
    /// Makes sure that the instance's supervisor lives; its spec is on disk.
    Launch {
        compute: PathBuf,
        id: String,
        netns: String,
    },
    /// Kills what is left of it, and deletes its files.
    Remove {
        compute: PathBuf,
        id: String,
        netns: Option<String>,
    },
}

pub(crate) struct Compute;

impl Duty for Compute {
    fn name(&self) -> &'static str {
        NAME
    }

    fn perform(&mut self, request: &[u8], room: &Inside) -> Result<Reply> {
        match decode(request)? {
            Ask::Launch { compute, id, netns } => launch(room, &Layout(compute), &id, &netns)?,
            Ask::Remove { compute, id, netns } => {
                remove(room, &Layout(compute), &id, netns.as_deref())?;
            }
        }
        Reply::of(&())
    }

    /// Supervisors and all that they run end with the room's processes; then the groups are empty.
    fn close(&mut self, room: &Inside) -> Result<()> {
        for name in resident::names(room.dir())? {
            if name.starts_with(&resident_name("")) {
                resident::kill(room.dir(), &name)?;
            }
        }
        Cgroup::remove_all(room)
    }
}

fn launch(room: &Inside, layout: &Layout, id: &str, netns: &str) -> Result<()> {
    let files = layout.instance(id)?;
    let name = resident_name(id);
    if resident::connect(room.dir(), &name).is_ok() {
        return Ok(());
    }
    room.make_netns(netns)?;
    forget(&files.ended())?;
    let program = Program {
        arguments: vec!["supervise".into(), id.into()],
        variables: vec![(COMPUTE.into(), layout.0.clone().into())],
    };
    room.launch(&name, &program, &files.log())
}

fn remove(room: &Inside, layout: &Layout, id: &str, netns: Option<&str>) -> Result<()> {
    let files = layout.instance(id)?;
    resident::kill(room.dir(), &resident_name(id))?;
    Cgroup::of(&room.host().cgroups, room.dir(), id)?.remove()?;
    if let Some(netns) = netns {
        room.remove_netns(netns)?;
    }
    let doing = format!("delete the files of {id}");
    match fs::remove_dir_all(&files.0) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing(doing),
        _ => Ok(()),
    }
}

fn forget(file: &std::path::Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).doing(format_args!("delete {}", file.display()))
        }
        _ => Ok(()),
    }
}
