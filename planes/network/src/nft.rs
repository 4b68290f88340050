//! An nftables table as a value, the script that makes it, and the script that turns one into
//! another. A script is one transaction: packets see the old table or the new one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

/// The contents of one table of family `ip`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Ruleset {
    pub sets: BTreeMap<String, Set>,
    pub chains: BTreeMap<String, Chain>,
}

/// A set, or a map if its elements have values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Set {
    /// As after the keyword `type`.
    pub holds: &'static str,
    pub map: bool,
    /// Elements are networks, not single values.
    pub interval: bool,
    /// Rules add the elements, at most so many; one that no rule touched for [`IDLE`] goes by itself.
    pub dynamic: Option<u32>,
    /// Values are empty unless this is a map.
    pub elements: BTreeMap<String, String>,
}

/// How long an element that rules added lasts.
pub(crate) const IDLE: Duration = Duration::from_secs(30);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Chain {
    /// Where packets enter by themselves, as `type … hook … priority …; policy …;`.
    pub hook: Option<&'static str>,
    pub rules: Vec<String>,
}

impl Set {
    pub(crate) fn of(holds: &'static str) -> Set {
        Set {
            holds,
            map: false,
            interval: false,
            dynamic: None,
            elements: BTreeMap::new(),
        }
    }

    pub(crate) fn map(holds: &'static str) -> Set {
        Set {
            map: true,
            ..Set::of(holds)
        }
    }

    pub(crate) fn interval(holds: &'static str) -> Set {
        Set {
            interval: true,
            ..Set::of(holds)
        }
    }

    /// A set that rules fill with `most` elements at most.
    pub(crate) fn dynamic(holds: &'static str, most: u32) -> Set {
        Set {
            dynamic: Some(most),
            ..Set::of(holds)
        }
    }

    /// What is said of it beside its type, each piece with what stands before and after it.
    fn properties(&self, before: &str, after: &str) -> String {
        let mut each = Vec::new();
        if self.interval {
            each.push("flags interval".to_owned());
        }
        if let Some(most) = self.dynamic {
            each.push(format!("size {most}"));
            each.push("flags dynamic,timeout".to_owned());
            each.push(format!("timeout {}s", IDLE.as_secs()));
        }
        let each = each.iter().map(|piece| format!("{before}{piece}{after}"));
        each.collect()
    }

    pub(crate) fn insert(&mut self, element: impl ToString) {
        self.elements.insert(element.to_string(), String::new());
    }

    fn keyword(&self) -> &'static str {
        if self.map { "map" } else { "set" }
    }

    fn listing<'a>(elements: impl Iterator<Item = (&'a String, &'a String)>) -> String {
        let each: Vec<_> = elements
            .map(|(key, value)| match value.as_str() {
                "" => key.clone(),
                value => format!("{key} : {value}"),
            })
            .collect();
        each.join(", ")
    }

    /// Whether `other` differs in no more than its elements.
    fn like(&self, other: &Set) -> bool {
        let kind = |set: &Set| (set.holds, set.map, set.interval, set.dynamic);
        kind(self) == kind(other)
    }
}

impl Ruleset {
    pub(crate) fn set(&mut self, name: impl Into<String>, set: Set) {
        self.sets.insert(name.into(), set);
    }

    pub(crate) fn chain(&mut self, name: impl Into<String>, rules: Vec<String>) {
        self.chains.insert(name.into(), Chain { hook: None, rules });
    }

    pub(crate) fn base(&mut self, name: &str, hook: &'static str, rules: &[&str]) {
        let rules = rules.iter().map(|rule| (*rule).to_owned()).collect();
        self.chains.insert(
            name.to_owned(),
            Chain {
                hook: Some(hook),
                rules,
            },
        );
    }

    /// The whole table, in place of whatever has its name.
    pub(crate) fn script(&self, table: &str) -> String {
        let mut out = format!("table ip {table}\ndelete table ip {table}\ntable ip {table} {{\n");
        for (name, set) in &self.sets {
            let _ = writeln!(out, "\t{} {name} {{\n\t\ttype {}", set.keyword(), set.holds);
            out.push_str(&set.properties("\t\t", "\n"));
            if !set.elements.is_empty() {
                let elements = Set::listing(set.elements.iter());
                let _ = writeln!(out, "\t\telements = {{ {elements} }}");
            }
            out.push_str("\t}\n");
        }
        for (name, chain) in &self.chains {
            let _ = writeln!(out, "\tchain {name} {{");
            for line in chain
                .hook
                .into_iter()
                .chain(chain.rules.iter().map(String::as_str))
            {
                let _ = writeln!(out, "\t\t{line}");
            }
            out.push_str("\t}\n");
        }
        out.push_str("}\n");
        out
    }

    /// What turns `old`, as it is in the kernel, into this one; empty if nothing differs. `None`
    /// if only [`Ruleset::script`] can.
    pub(crate) fn update(&self, old: &Ruleset, table: &str) -> Option<String> {
        let shapes_hold = self.chains.iter().all(|(name, chain)| {
            old.chains
                .get(name)
                .is_none_or(|before| before.hook == chain.hook)
        }) && self
            .sets
            .iter()
            .all(|(name, set)| old.sets.get(name).is_none_or(|before| before.like(set)));
        if !shapes_hold {
            return None;
        }
        let mut out = String::new();
        self.declare_new(old, table, &mut out);
        // From here on old references go away before new ones come, and both before what they
        // refer to is deleted.
        self.change_elements(old, table, &mut out);
        self.change_rules(old, table, &mut out);
        let gone: BTreeSet<_> = old
            .chains
            .keys()
            .filter(|n| !self.chains.contains_key(*n))
            .collect();
        for name in &gone {
            let _ = writeln!(out, "flush chain ip {table} {name}");
        }
        for (name, set) in old
            .sets
            .iter()
            .filter(|(name, _)| !self.sets.contains_key(*name))
        {
            let _ = writeln!(out, "delete {} ip {table} {name}", set.keyword());
        }
        for name in &gone {
            let _ = writeln!(out, "delete chain ip {table} {name}");
        }
        Some(out)
    }

    fn declare_new(&self, old: &Ruleset, table: &str, out: &mut String) {
        for (name, set) in self
            .sets
            .iter()
            .filter(|(name, _)| !old.sets.contains_key(*name))
        {
            let (keyword, holds) = (set.keyword(), set.holds);
            let properties = set.properties(" ", ";");
            let _ = writeln!(
                out,
                "add {keyword} ip {table} {name} {{ type {holds};{properties} }}"
            );
        }
        for (name, chain) in self
            .chains
            .iter()
            .filter(|(name, _)| !old.chains.contains_key(*name))
        {
            let hook = chain
                .hook
                .map(|hook| format!(" {{ {hook} }}"))
                .unwrap_or_default();
            let _ = writeln!(out, "add chain ip {table} {name}{hook}");
        }
    }

    fn change_elements(&self, old: &Ruleset, table: &str, out: &mut String) {
        let none = BTreeMap::new();
        for (name, set) in &self.sets {
            let before = old.sets.get(name).map_or(&none, |set| &set.elements);
            let stays = |(key, value): &(&String, &String), other: &BTreeMap<String, String>| {
                other.get(*key) == Some(*value)
            };
            let gone = Set::listing(before.iter().filter(|e| !stays(e, &set.elements)));
            let new = Set::listing(set.elements.iter().filter(|e| !stays(e, before)));
            if !gone.is_empty() {
                let _ = writeln!(out, "delete element ip {table} {name} {{ {gone} }}");
            }
            if !new.is_empty() {
                let _ = writeln!(out, "add element ip {table} {name} {{ {new} }}");
            }
        }
    }

    fn change_rules(&self, old: &Ruleset, table: &str, out: &mut String) {
        for (name, chain) in &self.chains {
            let before = old.chains.get(name).map_or(&[][..], |chain| &chain.rules);
            if before == chain.rules {
                continue;
            }
            if !before.is_empty() {
                let _ = writeln!(out, "flush chain ip {table} {name}");
            }
            for rule in &chain.rules {
                let _ = writeln!(out, "add rule ip {table} {name} {rule}");
            }
        }
    }
}

#[cfg(test)]
mod tests;
