use super::*;
use crate::name;
use hickory_proto::rr::rdata::{A, CNAME, NS};
use proptest::prelude::*;

fn n(text: &str) -> Name {
    name(text).unwrap()
}

fn soa() -> SOA {
    SOA::new(
        n("ns.example.com"),
        n("admin.example.com"),
        1,
        7200,
        900,
        86_400,
        60,
    )
}

fn a(last: u8) -> RData {
    RData::A(A::new(192, 0, 2, last))
}

fn zone() -> Zone {
    let mut zone = Zone::new(&n("example.com"), soa(), 900);
    let mut set = |name: &str, data| zone.set(&n(name), 300, vec![data]).unwrap();
    set("www.example.com", a(1));
    set("deep.er.example.com", a(2));
    set("*.wild.example.com", a(3));
    set(
        "there.wild.example.com",
        RData::TXT(hickory_proto::rr::rdata::TXT::new(vec!["x".into()])),
    );
    set(
        "alias.example.com",
        RData::CNAME(CNAME(n("WWW.example.com"))),
    );
    set("sub.example.com", RData::NS(NS(n("ns.sub.example.com"))));
    zone
}

#[test]
fn names_types_and_neither_are_told_apart() {
    let zone = zone();
    let find = |name: &str| zone.find(&n(name), RecordType::A);
    assert_eq!(
        find("WWW.Example.com"),
        Found::Records(&Records {
            ttl: 300,
            data: vec![a(1)]
        })
    );
    assert_eq!(
        zone.find(&n("www.example.com"), RecordType::AAAA),
        Found::NoData
    );
    assert_eq!(find("example.com"), Found::NoData);
    assert_eq!(find("nothing.example.com"), Found::NoName);
    // A name exists when one below it does.
    assert_eq!(find("er.example.com"), Found::NoData);
    assert!(
        matches!(find("alias.example.com"), Found::Alias(_, target) if target == n("www.example.com"))
    );
    assert!(
        matches!(find("x.sub.example.com"), Found::Delegated(cut, _) if cut == n("sub.example.com"))
    );
    assert_eq!(zone.soa().unwrap().ttl, 60);
}

#[test]
fn a_wildcard_stands_for_what_is_missing_only() {
    let zone = zone();
    let find = |name: &str| zone.find(&n(name), RecordType::A);
    assert!(matches!(find("any.wild.example.com"), Found::Records(_)));
    assert!(matches!(find("a.b.wild.example.com"), Found::Records(_)));
    assert_eq!(find("there.wild.example.com"), Found::NoData);
    // RFC 4592, 2.2.1: the closest name that exists has no wildcard below it.
    assert_eq!(find("x.there.wild.example.com"), Found::NoName);
    assert_eq!(find("wild.example.com"), Found::NoData);
}

#[test]
fn what_does_not_belong_is_refused() {
    let mut zone = zone();
    let mut set = |name: &str, data| zone.set(&n(name), 1, data).unwrap_err();
    assert!(matches!(
        set("example.org", vec![a(1)]),
        Error::OutsideZone { .. }
    ));
    assert!(matches!(set("x.example.com", vec![]), Error::Mixed(_)));
    assert!(matches!(
        set("alias.example.com", vec![a(1)]),
        Error::Alias(_)
    ));
    let alias = RData::CNAME(CNAME(n("x.example.com")));
    assert!(matches!(
        set("www.example.com", vec![alias]),
        Error::Alias(_)
    ));
    assert!(zone.unset(&n("alias.example.com"), RecordType::CNAME));
    assert!(!zone.unset(&n("alias.example.com"), RecordType::CNAME));
    assert!(!zone.unset(&n("example.com"), RecordType::SOA));
}

/// RFC 1034, 4.3.2 and RFC 4592 as a search through plain lists of labels.
fn oracle(names: &[Vec<&str>], asked: &[&str]) -> &'static str {
    let exists = |at: &[&str]| names.iter().any(|name| name.ends_with(at));
    if names.iter().any(|name| name == asked) {
        return "records";
    }
    if exists(asked) {
        return "no data";
    }
    let encloser = (0..=asked.len())
        .map(|n| &asked[n..])
        .find(|at| at.is_empty() || exists(at));
    let wildcard = [&["*"], encloser.unwrap_or_default()].concat();
    if names.contains(&wildcard) {
        "records"
    } else {
        "no name"
    }
}

proptest! {
    #[test]
    fn a_zone_finds_what_a_plain_search_finds(
        names in prop::collection::vec(prop::collection::vec(prop::sample::select(vec!["a", "b", "*"]), 1..4), 0..6),
        asked in prop::collection::vec(prop::sample::select(vec!["a", "b", "c"]), 1..5),
    ) {
        // A wildcard inside of a name is a label like others; keep it out of the way.
        let names: Vec<Vec<&str>> =
            names.into_iter().filter(|name| !name[1..].contains(&"*")).collect();
        let mut zone = Zone::new(&n("example.com"), soa(), 900);
        for name in &names {
            zone.set(&n(&format!("{}.example.com", name.join("."))), 1, vec![a(1)]).unwrap();
        }
        let found = match zone.find(&n(&format!("{}.example.com", asked.join("."))), RecordType::A) {
            Found::Records(_) => "records",
            Found::NoData => "no data",
            Found::NoName => "no name",
            other => panic!("{other:?}"),
        };
        prop_assert_eq!(found, oracle(&names, &asked));
    }
}
