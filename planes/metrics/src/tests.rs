use std::collections::BTreeMap;

use gureum_kit::{AccountId, Reader, Scan, Store};
use proptest::prelude::*;

use super::*;

fn account() -> AccountId {
    "000000000000".parse().expect("account")
}

fn one(at: i64, subject: &str, value: f64) -> [Measured; 1] {
    [Measured {
        account: account(),
        subject: subject.to_owned(),
        at,
        figures: vec![("load".to_owned(), value)],
    }]
}

#[tokio::test]
async fn a_minute_is_written_once_and_read_in_order() {
    let metrics = Metrics::new(Store::memory());
    for (at, value) in [
        (3 * HOUR, 1.0),
        (2 * HOUR + 5 * MINUTE, 2.0),
        (3 * HOUR + 59_999, 3.0),
    ] {
        metrics.write(&one(at, "a", value)).await.expect("write");
    }
    metrics
        .write(&one(3 * HOUR, "ab", 9.0))
        .await
        .expect("write");
    let series = metrics.read(account(), "a", (0, 10 * HOUR)).expect("read");
    let expected = [
        Point {
            at: 2 * HOUR + 5 * MINUTE,
            value: 2.0,
        },
        Point {
            at: 3 * HOUR,
            value: 3.0,
        },
    ];
    assert_eq!(series["load"], expected);
    // The end does not belong to it.
    let series = metrics
        .read(account(), "a", (2 * HOUR + 6 * MINUTE, 3 * HOUR))
        .expect("read");
    assert!(series.is_empty());
}

#[tokio::test]
async fn what_is_old_goes() {
    let metrics = Metrics::new(Store::memory());
    let now = KEPT + 10 * HOUR;
    for at in [0, 5 * HOUR, now] {
        metrics.write(&one(at, "a", 1.0)).await.expect("write");
    }
    metrics.write(&one(0, "gone", 1.0)).await.expect("write");
    metrics.forget(now).await.expect("forget");
    let series = metrics.read(account(), "a", (0, i64::MAX)).expect("read");
    assert_eq!(
        series["load"],
        [Point {
            at: now,
            value: 1.0
        }]
    );
    let snapshot = metrics.store.read();
    assert_eq!(snapshot.scan(Scan::<SubjectRow>::all()).count(), 1);
    assert_eq!(snapshot.scan(Scan::<HourRow>::all()).count(), 1);
}

proptest! {
    /// The oracle is a map from minutes to what was written last.
    #[test]
    fn reads_are_what_was_written(
        writes in prop::collection::vec((0i64..5 * HOUR, -1e6..1e6f64), 0..40),
        from in 0i64..5 * HOUR,
        length in 0i64..5 * HOUR,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
        let metrics = Metrics::new(Store::memory());
        let mut oracle = BTreeMap::new();
        for (at, value) in &writes {
            runtime.block_on(metrics.write(&one(*at, "a", *value))).expect("write");
            oracle.insert(at / MINUTE * MINUTE, *value);
        }
        let span = (from, from + length);
        let read = metrics.read(account(), "a", span).expect("read");
        let read: Vec<_> = read.get("load").into_iter().flatten().map(|it| (it.at, it.value)).collect();
        let expected: Vec<_> = oracle.into_iter().filter(|(at, _)| (span.0..span.1).contains(at)).collect();
        prop_assert_eq!(read, expected);
    }
}
