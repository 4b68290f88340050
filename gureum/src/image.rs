//! `gureum image import`: a root file system from outside becomes an image. Works on the data
//! directory; a cloud that runs there offers the image within seconds.

use gureum_compute::Import;
use gureum_kit::names::id;

use crate::cli::{CloudArgs, ImageCommand, ImportArgs};
use crate::config::{data_dir, parse_region};
use crate::console::instances;
use crate::data_dir::DataDir;
use crate::failure::{Context, Failure};
use crate::output::say;

pub(crate) fn run(command: &ImageCommand) -> Result<(), Failure> {
    match command {
        ImageCommand::Import(args) => import(&args.cloud, args),
    }
}

/// Prints the new image's id.
fn import(cloud: &CloudArgs, args: &ImportArgs) -> Result<(), Failure> {
    let dir = DataDir::at(data_dir(cloud)?);
    let account = dir.read_credentials()?.account_id;
    let running = dir.running()?.map(|running| running.region);
    let region = parse_region(args.region.clone().or(running))?;
    let image = id::resource("ami");
    let about = Import {
        name: args.name.clone(),
        account,
        region: region.to_string(),
    };
    instances(&dir)
        .import(&args.from, &image, about)
        .or_fail(format_args!("cannot import {}", args.from.display()))?;
    say(image);
    Ok(())
}
