use super::*;
use proptest::prelude::*;

/// nftables as far as updates need it: refuses what the kernel would.
#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    sets: BTreeMap<String, BTreeMap<String, String>>,
    chains: BTreeMap<String, Vec<String>>,
}

impl Model {
    fn of(ruleset: &Ruleset) -> Model {
        let sets = ruleset
            .sets
            .iter()
            .map(|(n, s)| (n.clone(), s.elements.clone()));
        let chains = ruleset
            .chains
            .iter()
            .map(|(n, c)| (n.clone(), c.rules.clone()));
        Model {
            sets: sets.collect(),
            chains: chains.collect(),
        }
    }

    fn perform(&mut self, script: &str) {
        for line in script.lines() {
            let words: Vec<_> = line.splitn(6, ' ').collect();
            let (name, rest) = (
                words[4].to_owned(),
                words.get(5).copied().unwrap_or_default(),
            );
            match (words[0], words[1]) {
                ("add", "set" | "map") => {
                    assert!(self.sets.insert(name, BTreeMap::new()).is_none(), "{line}");
                }
                ("add", "chain") => {
                    assert!(self.chains.insert(name, Vec::new()).is_none(), "{line}");
                }
                ("delete", "set" | "map") => {
                    assert!(!self.mentioned(&format!("@{name}")), "{line}");
                    self.sets.remove(&name).expect(line);
                }
                ("delete", "chain") => {
                    assert!(!self.mentioned(&format!("jump {name}")), "{line}");
                    assert!(self.chains.remove(&name).expect(line).is_empty(), "{line}");
                }
                ("flush", "chain") => self.chains.get_mut(&name).expect(line).clear(),
                ("add", "rule") => {
                    if let Some(target) = rest.strip_prefix("jump ") {
                        assert!(self.chains.contains_key(target), "{line}");
                    }
                    if let Some(set) = rest.strip_prefix('@') {
                        assert!(self.sets.contains_key(set), "{line}");
                    }
                    self.chains
                        .get_mut(&name)
                        .expect(line)
                        .push(rest.to_owned());
                }
                (verb, "element") => {
                    let set = self.sets.get_mut(&name).expect(line);
                    let inner = rest.trim_start_matches("{ ").trim_end_matches(" }");
                    for element in inner.split(", ") {
                        let (key, value) = element.split_once(" : ").unwrap_or((element, ""));
                        let before = match verb {
                            "add" => set.insert(key.to_owned(), value.to_owned()),
                            _ => set.remove(key).is_none().then(String::new),
                        };
                        assert!(before.is_none(), "{line}");
                    }
                }
                _ => panic!("{line}"),
            }
        }
    }

    fn mentioned(&self, what: &str) -> bool {
        self.chains.values().flatten().any(|rule| rule == what)
            || self
                .sets
                .values()
                .flat_map(BTreeMap::values)
                .any(|value| value == what)
    }
}

/// Rulesets of few names, so that two have much in common; what they mention they have.
fn rulesets() -> impl Strategy<Value = Ruleset> {
    let names = || prop::sample::subsequence(vec!["a", "b", "c", "d"], 0..=4);
    (
        names(),
        names(),
        prop::collection::vec((0..8usize, 0..8usize, 0..3u8), 0..12),
    )
        .prop_map(|(sets, chains, things)| {
            let mut ruleset = Ruleset::default();
            sets.iter()
                .for_each(|name| ruleset.set(*name, Set::map("mark : verdict")));
            chains
                .iter()
                .for_each(|name| ruleset.chain(*name, Vec::new()));
            for (from, to, kind) in things {
                let chain = chains.get(from % chains.len().max(1));
                let set = sets.get(to % sets.len().max(1));
                let target = chains.get(to % chains.len().max(1));
                match (kind, chain, set, target) {
                    (0, Some(chain), Some(set), _) => {
                        let rules = &mut ruleset.chains.get_mut(*chain).unwrap().rules;
                        rules.push(format!("@{set}"));
                    }
                    (1, Some(chain), _, Some(target)) => {
                        let rules = &mut ruleset.chains.get_mut(*chain).unwrap().rules;
                        rules.push(format!("jump {target}"));
                    }
                    (2, _, Some(set), Some(target)) => {
                        let elements = &mut ruleset.sets.get_mut(*set).unwrap().elements;
                        elements.insert(from.to_string(), format!("jump {target}"));
                    }
                    _ => {}
                }
            }
            ruleset
        })
}

proptest! {
    #[test]
    fn an_update_leads_from_any_ruleset_to_any_other(old in rulesets(), new in rulesets()) {
        let mut model = Model::of(&old);
        model.perform(&new.update(&old, "t").unwrap());
        prop_assert_eq!(model, Model::of(&new));
        prop_assert_eq!(new.update(&new, "t").unwrap(), "");
    }
}

#[test]
fn a_new_member_is_a_small_update() {
    let mut old = Ruleset::default();
    let mut members = Set::of("ipv4_addr");
    members.insert("10.0.0.4");
    old.set("members.sg-1", members);
    old.base(
        "in",
        "type filter hook forward priority 0; policy drop;",
        &["ip saddr @members.sg-1 accept"],
    );
    let mut new = old.clone();
    new.sets.get_mut("members.sg-1").unwrap().insert("10.0.0.5");
    assert_eq!(
        new.update(&old, "vpc").unwrap(),
        "add element ip vpc members.sg-1 { 10.0.0.5 }\n"
    );
}

#[test]
fn a_hook_that_moves_needs_the_whole_table() {
    let mut old = Ruleset::default();
    old.base("in", "type filter hook input priority 0; policy drop;", &[]);
    let mut new = Ruleset::default();
    new.base(
        "in",
        "type filter hook forward priority 0; policy drop;",
        &[],
    );
    assert_eq!(new.update(&old, "vpc"), None);
    assert_eq!(
        new.script("vpc"),
        "table ip vpc\ndelete table ip vpc\ntable ip vpc {\n\tchain in {\n\t\ttype filter hook \
         forward priority 0; policy drop;\n\t}\n}\n"
    );
}
