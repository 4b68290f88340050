//! `gureum status` and `gureum coverage`: what the running cloud says of itself.

use serde_json::{Map, Value};

use crate::cli::ReportArgs;
use crate::control;
use crate::failure::Failure;

pub(crate) fn status(args: &ReportArgs) -> Result<(), Failure> {
    let status = control::page(&args.cloud, "/_gureum/status")?;
    if args.json {
        return print(&status);
    }
    println!(
        "Gureum {} (auth: {})",
        text(&status["version"]),
        text(&status["auth"])
    );
    println!("\nServices");
    for (name, service) in object(&status["services"]) {
        let operations = object(&service["operations"]);
        let sum = |key: &str| -> u64 { operations.values().filter_map(|o| o[key].as_u64()).sum() };
        println!(
            "  {name:<12} {:<8} {:>4} operations, {} calls, {} refused, {} failed",
            text(&service["state"]),
            service["implemented"],
            sum("calls"),
            sum("client_errors"),
            sum("server_errors"),
        );
    }
    println!("\nBackground work");
    for work in status["reconcilers"].as_array().into_iter().flatten() {
        println!(
            "  {:<28} last run {}, next {}{}",
            text(&work["name"]),
            or_never(&work["last_run"]),
            or_never(&work["next_run"]),
            match work["last_error"].as_str() {
                Some(error) => format!(", failing: {error}"),
                None => String::new(),
            },
        );
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
        println!("{service}: {done} of {} operations", operations.len());
        for (name, told) in operations.iter().filter(|(_, told)| is_done(told)) {
            match told["parameters_refused"].as_array() {
                Some(refused) => println!("  {name} (refuses {})", list(refused)),
                None => println!("  {name}"),
            }
        }
    }
    Ok(())
}

fn print(value: &Value) -> Result<(), Failure> {
    println!("{value:#}");
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
