//! Points as they are read.

use std::collections::BTreeMap;

/// A value, and the minute in which it was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the minute begins, in milliseconds since the epoch.
    pub at: i64,
    pub value: f64,
}

/// Points by the name of the figure.
pub type Series = BTreeMap<String, Vec<Point>>;
