//! Development tasks: model generator, layering check, coverage table.

fn main() {}
