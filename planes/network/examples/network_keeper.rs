//! A keeper with this plane's duty, for the tests of this crate, and one more that shows them the
//! way into a namespace.

use gureum_network::Network;
use gureum_room::{Doing, Duty, Inside, Reply, Result, decode, keeper_main};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1) {
        Some(dir) => keeper_main(Path::new(&dir), || vec![Network::duty(), Box::new(Lab)]),
        None => ExitCode::FAILURE,
    }
}

struct Lab;

impl Duty for Lab {
    fn name(&self) -> &'static str {
        "lab"
    }

    /// The namespace of a name, the room's own by that of `core`, or all names if that is empty.
    fn perform(&mut self, request: &[u8], room: &Inside) -> Result<Reply> {
        let name: String = decode(request)?;
        let names = Reply::of(&room.netns_names()?)?;
        match name.as_str() {
            "" => Ok(names),
            "core" => Ok(names.with(room.home_netns().try_clone().doing("pass the core")?)),
            name => Ok(names.with(room.netns(name)?)),
        }
    }
}
