//! The program: the command line, the configuration, and the wiring of the rooms; nothing else.

mod beyond;
mod ca;
mod cli;
mod config;
mod console;
mod control;
mod data_dir;
mod disks;
mod doctor;
mod down;
mod env;
mod failure;
mod figures;
mod host_ports;
mod image;
mod imds;
mod inside;
mod link_local;
mod machines;
mod mail;
mod nodes;
mod output;
mod readings;
mod routes;
mod shell;
mod signing;
mod status;
mod up;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

/// A request is many small allocations: glibc's allocator took a quarter of the time of each.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        // Nothing before these three may have started a thread: they move into namespaces.
        Command::Keeper { room } => return gureum_room::keeper_main(&room, wiring::duties),
        Command::Supervise { id } => return gureum_compute::supervise_main(&id),
        Command::Volume => return gureum_block::volume_main(),
        Command::Up(args) => up::run(*args),
        Command::Env(args) => env::run(&args),
        Command::Status(args) => status::status(&args),
        Command::Coverage(args) => status::coverage(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Shell(args) => match shell::run(&args) {
            Ok(code) => return code,
            Err(failure) => Err(failure),
        },
        Command::Console(args) | Command::Logs(args) => console::run(&args),
        Command::Image(command) => image::run(&command),
        Command::Mail(args) => mail::run(&args),
        Command::Down(args) => down::down(&args),
        Command::Reset(args) => down::reset(&args),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("gureum: {failure}");
            ExitCode::FAILURE
        }
    }
}
