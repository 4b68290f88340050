//! What is sealed opens as it was sealed, and no other way.

use proptest::prelude::*;

use super::*;
use crate::value::{Item, Value, item_size};

const SECRET: [u8; 32] = [7; 32];

fn item(text: &str) -> Item {
    Item::from([
        ("p".to_owned(), Value::S("key".into())),
        ("text".to_owned(), Value::S(text.into())),
        ("none".to_owned(), Value::L(vec![Value::Null])),
    ])
}

fn opened(sealing: &Sealing) -> &DataKey {
    key_of(Some(sealing)).expect("open").expect("a key")
}

proptest! {
    #[test]
    fn an_item_opens_at_its_place_under_its_key(text in ".{0,200}", place in any::<[u8; 6]>()) {
        let vault = Vault::new(&SECRET);
        let (made, other) = (vault.make().expect("made"), vault.make().expect("made"));
        let key = opened(&made);
        let held = Held::seal(Some(key), &place, &item(&text)).expect("seal");
        prop_assert_eq!(held.size(), item_size(&item(&text)));
        let row = rmp_serde::to_vec_named(&held).expect("encode");
        prop_assert!(text.len() < 4 || !row.windows(text.len()).any(|part| part == text.as_bytes()));
        let held: Held = rmp_serde::from_slice(&row).expect("decode");
        prop_assert_eq!(held.open(Some(key), &place).expect("open"), item(&text));
        prop_assert!(held.open(Some(key), b"elsewhere").is_err());
        prop_assert!(held.open(Some(opened(&other)), &place).is_err());
        prop_assert!(held.open(None, &place).is_err());
    }
}

#[test]
fn an_item_that_was_never_sealed_is_still_read() {
    let row = rmp_serde::to_vec_named(&item("plain")).expect("encode");
    let held: Held = rmp_serde::from_slice(&row).expect("decode");
    assert_eq!(held, Held::Plain(item("plain")));
    assert_eq!(held.open(None, b"").expect("open"), item("plain"));
}

#[test]
fn a_data_key_opens_with_the_secret_that_wrapped_it() {
    let vault = Vault::new(&SECRET);
    let made = vault.make().expect("made");
    let held = Held::seal(Some(opened(&made)), b"k", &item("x")).expect("seal");
    let row = rmp_serde::to_vec_named(&made).expect("encode");
    let secret = opened(&made).secret;
    assert!(!row.windows(32).any(|part| part == secret));
    let mut read: Sealing = rmp_serde::from_slice(&row).expect("decode");
    assert!(key_of(Some(&read)).is_err());
    assert!(Vault::new(&[8; 32]).unlock(Some(&mut read), 0).is_err());
    Vault::new(&SECRET)
        .unlock(Some(&mut read), 0)
        .expect("open");
    let found = held.open(Some(opened(&read)), b"k");
    assert_eq!(found.expect("open"), item("x"));
}

#[test]
fn wishes_are_read_as_they_are_meant() {
    let given = |enabled, kind: Option<&str>, key: Option<&str>| {
        wish(Some(&t::SSESpecification {
            enabled,
            sse_type: kind.map(str::to_owned),
            kms_master_key_id: key.map(str::to_owned),
        }))
    };
    assert_eq!(wish(None), Ok(None));
    assert_eq!(given(None, None, None), Ok(Some(Wish::Owned)));
    assert_eq!(given(Some(false), None, None), Ok(Some(Wish::Owned)));
    assert_eq!(given(Some(true), None, None), Ok(Some(Wish::Kms(None))));
    let named = Wish::Kms(Some("k".to_owned()));
    assert_eq!(given(None, None, Some("k")), Ok(Some(named)));
    assert!(given(Some(false), None, Some("k")).is_err());
    assert!(given(Some(true), Some("AES256"), None).is_err());
}
