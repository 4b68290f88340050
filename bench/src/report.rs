//! What is measured becomes a row; rows become a table for people and one for the documentation.

use std::fmt::Write;
use std::path::Path;

use crate::failure::{Context, Failure, Result};
use crate::load::Round;
use crate::stats::median;

/// One line of the report.
pub(crate) struct Row {
    pub(crate) measure: String,
    pub(crate) ours: String,
    pub(crate) against: String,
    pub(crate) result: String,
    pub(crate) target: String,
    /// `None`: told, not judged.
    pub(crate) met: Option<bool>,
}

impl Row {
    /// A quantity that should stay below a limit.
    pub(crate) fn at_most(measure: &str, value: f64, limit: f64, unit: &str) -> Self {
        Self {
            measure: measure.into(),
            ours: format!("{} {unit}", number(value)),
            against: String::new(),
            result: String::new(),
            target: format!("≤ {} {unit}", number(limit)),
            met: Some(value <= limit),
        }
    }

    /// A share of a baseline that should be reached.
    pub(crate) fn share(
        measure: &str,
        ours: String,
        against: String,
        share: f64,
        least: f64,
    ) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            result: percent(share),
            target: format!("≥ {}", percent(least)),
            met: Some(share >= least),
        }
    }

    /// A quantity that should be reached; `how` tells of its rounds.
    pub(crate) fn at_least(measure: &str, how: String, value: f64, limit: f64) -> Self {
        Self {
            measure: measure.into(),
            ours: how,
            against: String::new(),
            result: number(value),
            target: format!("≥ {}", number(limit)),
            met: Some(value >= limit),
        }
    }

    /// A multiple of something that should not be exceeded.
    pub(crate) fn ratio(
        measure: &str,
        ours: String,
        against: String,
        times: f64,
        most: f64,
    ) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            result: format!("{} ×", number(times)),
            target: format!("≤ {} ×", number(most)),
            met: Some(times <= most),
        }
    }

    /// A multiple of a peer that should be reached.
    pub(crate) fn times(
        measure: &str,
        ours: String,
        against: String,
        times: f64,
        least: f64,
    ) -> Self {
        Self {
            result: format!("{} ×", number(times)),
            target: format!("≥ {} ×", number(least)),
            ..Self::share(measure, ours, against, times, least)
        }
    }

    /// A figure without a target.
    pub(crate) fn told(measure: &str, ours: String, against: String, result: String) -> Self {
        Self {
            measure: measure.into(),
            ours,
            against,
            result,
            target: String::new(),
            met: None,
        }
    }

    /// A measure that this machine does not allow, and why.
    pub(crate) fn skipped(measure: &str, why: impl Into<String>) -> Self {
        Self::told(
            measure,
            format!("skipped: {}", why.into()),
            String::new(),
            String::new(),
        )
    }

    fn cells(&self) -> [&str; 6] {
        let met = match self.met {
            Some(true) => "yes",
            Some(false) => "NO",
            None => "",
        };
        [
            &self.measure,
            &self.ours,
            &self.against,
            &self.result,
            &self.target,
            met,
        ]
    }
}

const HEAD: [&str; 6] = ["measure", "Gureum", "against", "result", "target", "met"];

/// A table for a terminal.
pub(crate) fn table(rows: &[Row]) -> String {
    let lines: Vec<[&str; 6]> = std::iter::once(HEAD)
        .chain(rows.iter().map(Row::cells))
        .collect();
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or_default()
    };
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut text = String::new();
    for line in lines {
        for (cell, width) in line.iter().zip(widths) {
            // Writing to a string cannot fail.
            let _ = write!(text, "{cell:width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    text
}

/// The same table in Markdown.
fn markdown(rows: &[Row], machine: &str) -> String {
    let mut text = format!("Measured on {machine}.\n\n");
    let mut line = |cells: [&str; 6]| {
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    };
    line(HEAD);
    line(["---"; 6]);
    for row in rows {
        line(row.cells());
    }
    text
}

const BEGIN: &str =
    "<!-- figures: written by `make bench ARGS=\"--write-docs docs/performance.md\"` -->\n";
const END: &str = "<!-- end of figures -->";

/// Replaces the figures in the documentation.
pub(crate) fn write_docs(file: &Path, rows: &[Row], machine: &str) -> Result<()> {
    let name = file.display();
    let text = std::fs::read_to_string(file).or_fail(&name)?;
    let fresh = replaced(&text, &markdown(rows, machine))
        .ok_or_else(|| Failure(format!("{name} has no place for figures")))?;
    std::fs::write(file, fresh).or_fail(&name)
}

fn replaced(text: &str, figures: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{figures}\n{END}{after}"))
}

/// The median rate of some rounds, how long a step took, and what it cost the server.
pub(crate) fn steps(rounds: &mut [Round]) -> String {
    let rate = median(rounds.iter().map(Round::per_second));
    let half = median(
        rounds
            .iter_mut()
            .map(|round| round.latencies.percentile(0.5)),
    );
    let most = median(
        rounds
            .iter_mut()
            .map(|round| round.latencies.percentile(0.99)),
    );
    let cpu = median(rounds.iter().map(Round::server_micros));
    format!(
        "{}/s, p50 {} ms, p99 {} ms, {} µs CPU",
        number(rate),
        number(half),
        number(most),
        number(cpu)
    )
}

/// The same for rounds that move much data.
pub(crate) fn stream(rounds: &mut [Round]) -> String {
    let rate = median(rounds.iter().map(Round::bytes_per_second));
    format!("{}, {}", throughput(rate), steps(rounds))
}

pub(crate) fn throughput(bytes_per_second: f64) -> String {
    format!("{} MiB/s", number(bytes_per_second / f64::from(1 << 20)))
}

pub(crate) fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Three digits that mean something, thousands apart.
pub(crate) fn number(value: f64) -> String {
    if value.abs() < 10.0 {
        return format!("{value:.2}");
    }
    if value.abs() < 100.0 {
        return format!("{value:.1}");
    }
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let cases = [
            (0.123, "0.12"),
            (12.34, "12.3"),
            (999.6, "1,000"),
            (1_234_567.0, "1,234,567"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn figures_replace_figures() {
        let text = format!("a\n{BEGIN}old{END}\nb\n");
        let once = replaced(&text, "new").expect("a place");
        assert!(once.starts_with("a\n") && once.ends_with("\nb\n") && !once.contains("old"));
        assert_eq!(replaced(&once, "new"), Some(once.clone()));
        assert_eq!(replaced("a", "new"), None);
    }

    #[test]
    fn columns_line_up() {
        let row = Row::at_most("x", 1.0, 2.0, "ms");
        let text = table(&[row]);
        let columns: Vec<_> = text.lines().map(|line| line.find("  ")).collect();
        assert_eq!(text.lines().count(), 2);
        assert!(text.contains("yes"), "{text}");
        assert!(columns.iter().all(Option::is_some));
    }
}
