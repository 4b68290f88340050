//! A program with a keeper that knows volumes, for the tests of this crate.

use std::path::Path;
use std::process::ExitCode;

use gureum_block::{Block, volume_main};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["keeper", dir] => {
            let duties = || vec![Block::duty(vec!["volume".into()])];
            gureum_room::keeper_main(Path::new(dir), duties)
        }
        ["volume"] => volume_main(),
        _ => ExitCode::FAILURE,
    }
}
