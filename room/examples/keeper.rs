//! A program with a keeper and a few small duties, for the tests of this crate: `keeper DIR` is the
//! keeper, `resident NAME` a process that lives in the room and repeats what it hears.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

use gureum_room::{Doing, Duty, Inside, Program, Reply, Result, decode, keeper_main, resident};
use serde::{Deserialize, Serialize};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["keeper", dir] => keeper_main(Path::new(dir), vec![Box::new(Test)]),
        ["resident"] => repeat(),
        _ => ExitCode::FAILURE,
    }
}

fn repeat() -> ExitCode {
    let Ok(listener) = resident::settle() else {
        return ExitCode::FAILURE;
    };
    while let Ok((mut client, _)) = listener.accept() {
        let mut byte = [0];
        while client.read(&mut byte).is_ok_and(|n| n == 1) {
            let _ = client.write_all(&byte);
        }
    }
    ExitCode::SUCCESS
}

#[derive(Serialize, Deserialize)]
enum Ask {
    Echo(String),
    Fail(String),
    MakeNetns(String),
    RemoveNetns(String),
    Netns,
    /// A listening socket on port 80 inside a namespace.
    Listen(String),
    Launch(String),
    Crash,
}

struct Test;

impl Duty for Test {
    fn name(&self) -> &'static str {
        "test"
    }

    fn perform(&mut self, request: &[u8], room: &Inside) -> Result<Reply> {
        match decode(request)? {
            Ask::Echo(text) => Reply::of(&text),
            Ask::Fail(text) => Err(gureum_room::Error::failed(text)),
            Ask::MakeNetns(name) => Reply::of(&room.make_netns(&name)?),
            Ask::RemoveNetns(name) => Reply::of(&room.remove_netns(&name)?),
            Ask::Netns => Reply::of(&room.netns_names()?),
            Ask::Listen(name) => {
                let listener =
                    room.in_netns(&name, || TcpListener::bind("127.0.0.1:80").doing("listen"))?;
                Ok(Reply::of(&())?.with(listener.into()))
            }
            Ask::Launch(name) => {
                let log = room.dir().join("resident.log");
                let program = Program {
                    arguments: vec!["resident".into()],
                    variables: Vec::new(),
                };
                Reply::of(&room.launch(&name, &program, &log)?)
            }
            Ask::Crash => std::process::abort(),
        }
    }
}
