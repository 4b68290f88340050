//! `gureum status` and `gureum coverage`: what the running cloud says of itself.

use serde_json::{Map, Value};

use crate::cli::ReportArgs;
use crate::control;
use crate::failure::Failure;
use crate::output::say;

pub(crate) fn status(args: &ReportArgs) -> Result<(), Failure> {
    let status = control::page(&args.cloud, "/_gureum/status")?;
    if args.json {
        return print(&status);
    }
    say(format_args!(
        "Gureum {} (auth: {})",
        text(&status["version"]),
        text(&status["auth"])
    ));
    say("\nServices");
    for (name, service) in object(&status["services"]) {
        let operations = object(&service["operations"]);
        let sum = |key: &str| -> u64 { operations.values().filter_map(|o| o[key].as_u64()).sum() };
        say(format_args!(
            "  {name:<12} {:<8} {:>4} operations, {} calls, {} refused, {} failed",
            text(&service["state"]),
            service["implemented"],
            sum("calls"),
            sum("client_errors"),
            sum("server_errors"),
        ));
    }
    let instances = status["instances"].as_array();
    let instances = instances.map_or(&[][..], Vec::as_slice);
    if !instances.is_empty() {
        say("\nInstances");
    }
    for instance in instances {
        say(format_args!(
            "  {:<20} {:<14} {:<12} {:<8} {}",
            text(&instance["id"]),
            text(&instance["state"]),
            text(&instance["instance_type"]),
            match instance["cpu_percent"].as_f64() {
                Some(percent) => format!("{percent:.0} %"),
                None => String::new(),
            },
            list(instance["addresses"].as_array().map_or(&[], Vec::as_slice)),
        ));
        for (port, way) in object(&instance["host_ports"]) {
            say(format_args!(
                "  {:<20} port {port} is at 127.0.0.1:{way}",
                ""
            ));
        }
    }
    say("\nBackground work");
    if status["reconcilers"].as_array().is_none_or(Vec::is_empty) {
        say("  none");
    }
    for work in status["reconcilers"].as_array().into_iter().flatten() {
        say(format_args!(
            "  {:<28} last run {}, next {}{}",
            text(&work["name"]),
            or_never(&work["last_run"]),
            or_never(&work["next_run"]),
            match work["last_error"].as_str() {
                Some(error) => format!(", failing: {error}"),
                None => String::new(),
            },
        ));
    }
    Ok(())
}

pub(crate) fn coverage(args: &ReportArgs) -> Result<(), Failure> {
    let coverage = control::page(&args.cloud, "/_gureum/coverage")?;
    if args.json {
        return print(&coverage);
    }
    for (service, operations) in object(&coverage) {
        let operations = object(operations);
        let is_done = |o: &&Value| o["status"] == "implemented";
        let done = operations.values().filter(is_done).count();
        say(format_args!(
            "{service}: {done} of {} operations",
            operations.len()
        ));
        for (name, told) in operations.iter().filter(|(_, told)| is_done(told)) {
            match told["parameters_refused"].as_array() {
                Some(refused) => say(format_args!("  {name} (refuses {})", list(refused))),
                None => say(format_args!("  {name}")),
            }
        }
    }
    Ok(())
}

fn print(value: &Value) -> Result<(), Failure> {
    say(format_args!("{value:#}"));
    Ok(())
}

fn object(value: &Value) -> &Map<String, Value> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    value.as_object().unwrap_or(&EMPTY)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn or_never(value: &Value) -> &str {
    value.as_str().unwrap_or("never")
}

fn list(values: &[Value]) -> String {
    values.iter().map(text).collect::<Vec<_>>().join(", ")
}
