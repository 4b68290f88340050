//! Capacity units: what an operation consumed, and how it is told. Pure.

use std::collections::BTreeMap;

use gureum_model_dynamodb::types as t;

use crate::items::Written;
use crate::model::Table;

/// Read units for so many bytes; half of them when it need not be consistent.
pub(crate) fn read_units(bytes: usize, consistent: bool) -> f64 {
    let units = bytes.div_ceil(4096).max(1) as f64;
    if consistent { units } else { units / 2.0 }
}

/// Units of a table and its indexes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consumed {
    pub(crate) read: bool,
    pub(crate) table: f64,
    pub(crate) locals: BTreeMap<String, f64>,
    pub(crate) globals: BTreeMap<String, f64>,
}

impl Consumed {
    pub(crate) fn reading(units: f64) -> Self {
        Self {
            read: true,
            table: units,
            ..Self::default()
        }
    }

    /// What a write took; `factor` is two inside a transaction.
    pub(crate) fn add_write(&mut self, table: &Table, written: &Written, factor: u64) {
        self.table += (written.table * factor) as f64;
        for (name, units) in &written.indexes {
            let units = (units * factor) as f64;
            let local = table.locals.iter().any(|index| index.name == *name);
            let map = if local {
                &mut self.locals
            } else {
                &mut self.globals
            };
            *map.entry(name.clone()).or_default() += units;
        }
    }

    /// What was consumed beside this.
    pub(crate) fn add(&mut self, other: &Self) {
        self.read |= other.read;
        self.table += other.table;
        for (name, units) in &other.locals {
            *self.locals.entry(name.clone()).or_default() += units;
        }
        for (name, units) in &other.globals {
            *self.globals.entry(name.clone()).or_default() += units;
        }
    }

    fn total(&self) -> f64 {
        self.table + self.locals.values().sum::<f64>() + self.globals.values().sum::<f64>()
    }

    /// As `ReturnConsumedCapacity` wants it. `both` tells the units by their kind as well, which
    /// AWS does for transactions.
    pub(crate) fn told(
        &self,
        name: &str,
        how: Option<&str>,
        both: bool,
    ) -> Option<t::ConsumedCapacity> {
        let detailed = match how {
            Some("TOTAL") => false,
            Some("INDEXES") => true,
            _ => return None,
        };
        let capacity = |units: f64| t::Capacity {
            capacity_units: Some(units),
            read_capacity_units: (both && self.read).then_some(units),
            write_capacity_units: (both && !self.read).then_some(units),
        };
        let total = self.total();
        let map = |map: &BTreeMap<String, f64>| {
            let all = map
                .iter()
                .map(|(name, units)| (name.clone(), capacity(*units)));
            (detailed && !map.is_empty()).then(|| all.collect())
        };
        Some(t::ConsumedCapacity {
            table_name: Some(name.to_owned()),
            capacity_units: Some(total),
            read_capacity_units: (both && self.read).then_some(total),
            write_capacity_units: (both && !self.read).then_some(total),
            table: detailed.then(|| capacity(self.table)),
            local_secondary_indexes: map(&self.locals),
            global_secondary_indexes: map(&self.globals),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_round_up() {
        assert_eq!(read_units(0, false), 0.5);
        assert_eq!(read_units(4096, true), 1.0);
        assert_eq!(read_units(4097, true), 2.0);
        assert_eq!(crate::items::write_units(1024), 1);
        assert_eq!(crate::items::write_units(1025), 2);
    }
}
