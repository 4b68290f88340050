//! A program with a keeper and supervisors and nothing else, for the tests of this crate.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[1..] {
        ["keeper", dir] => gureum_room::keeper_main(Path::new(dir), vec![gureum_compute::duty()]),
        ["supervise", id] => gureum_compute::supervise_main(id),
        _ => ExitCode::FAILURE,
    }
}
