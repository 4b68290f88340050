//! `make bench`: what the cloud does, against what the machine and others do, in one run.
//!
//! Every ratio compares neighbours in time on the same machine and file system, driven by the same
//! client. All traffic is on loopback.

mod bare;
mod client;
mod failure;
mod load;
mod machine;
mod measures;
mod raw;
mod report;
mod server;
mod stats;
mod wire;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};

use crate::failure::{Context, Result};
use crate::measures::{
    Setting, dynamodb, ec2, listing, network, peers, s3, sns, sqs, start, streaming, sts,
};
use crate::report::Row;

#[derive(Parser)]
#[command(about = "Measured comparisons of Gureum with the machine it runs on, and with others.")]
struct Arguments {
    #[command(subcommand)]
    role: Option<Role>,
    /// The program under measure [default: `gureum` beside this one]
    #[arg(long, env = "GUREUM_BIN")]
    program: Option<PathBuf>,
    /// Only these groups, separated by commas: start, sts, s3-read, s3-write, listing, streaming,
    /// sqs, dynamodb, sns, ec2, network, moto, ministack, dynalite
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Rounds of each comparison; the median counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Milliseconds of a round
    #[arg(long, default_value_t = 1500)]
    round_ms: u64,
    /// MiB of the object that is streamed
    #[arg(long, default_value_t = 1024)]
    large_mib: u64,
    /// Keys of the bucket that is listed
    #[arg(long, default_value_t = 100_000)]
    keys: u64,
    /// Items of the large table
    #[arg(long, default_value_t = 100_000)]
    items: u64,
    /// Five rounds, an object of 4 GiB and a table of a million items
    #[arg(long)]
    full: bool,
    /// Write the figures into this file, between its marks
    #[arg(long)]
    write_docs: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Role {
    /// Be the baseline server (the harness starts itself so).
    #[command(hide = true)]
    ServeBare { address: SocketAddr },
}

type Measure = fn(&Setting) -> Result<Vec<Row>>;

const GROUPS: [(&str, Measure); 14] = [
    ("start", start::measure),
    ("sts", sts::measure),
    ("s3-read", s3::read),
    ("s3-write", s3::write),
    ("listing", listing::measure),
    ("streaming", streaming::measure),
    ("sqs", sqs::measure),
    ("dynamodb", dynamodb::measure),
    ("sns", sns::measure),
    ("ec2", ec2::measure),
    ("network", network::measure),
    ("moto", peers::moto),
    ("ministack", peers::ministack),
    ("dynalite", peers::dynalite),
];

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Some(Role::ServeBare { address }) => bare::serve(address).map(|()| true),
        None => bench(&arguments),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("bench: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// Takes all measures; whether each could be taken.
fn bench(arguments: &Arguments) -> Result<bool> {
    allow_many_connections()?;
    let own = std::env::current_exe().or_fail("cannot find this program")?;
    let beside = own.parent().map(PathBuf::from).unwrap_or_default();
    // Beside the programs, not in a temporary directory: that one may be memory, where a sync is
    // free.
    let home = tempfile::tempdir_in(&beside).or_fail("cannot make a directory")?;
    let setting = Setting {
        program: arguments
            .program
            .clone()
            .unwrap_or_else(|| beside.join("gureum")),
        home: home.path().to_owned(),
        rounds: if arguments.full { 5 } else { arguments.rounds },
        round: Duration::from_millis(arguments.round_ms),
        large_object: if arguments.full {
            4096
        } else {
            arguments.large_mib
        } << 20,
        keys: arguments.keys,
        items: if arguments.full {
            dynamodb::MANY
        } else {
            arguments.items
        },
    };
    let machine = machine::describe(home.path());
    println!("On {machine}.\n");
    let mut rows = Vec::new();
    let mut complete = true;
    for (name, measure) in GROUPS {
        if !arguments.only.is_empty() && !arguments.only.iter().any(|only| only == name) {
            continue;
        }
        let started = Instant::now();
        match measure(&setting) {
            Ok(found) => rows.extend(found),
            Err(failure) => {
                complete = false;
                let mut row = Row::skipped(name, failure.0);
                row.met = Some(false);
                rows.push(row);
            }
        }
        eprintln!("{name}: {:.1} s", started.elapsed().as_secs_f64());
    }
    println!("{}", report::table(&rows));
    if let Some(file) = &arguments.write_docs {
        report::write_docs(file, &rows, &machine)?;
    }
    Ok(complete)
}

/// A thousand pollers are a thousand descriptors, here and in the servers, which inherit the limit.
fn allow_many_connections() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    setrlimit(Resource::Nofile, raised).or_fail("cannot raise the limit of open files")
}
