//! Cursors: order, redelivery, trimming.

use super::*;

async fn emit(store: &Store, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        store
            .transact(|tx| tx.emit("t", &number))
            .await
            .expect("emit");
    }
}

async fn next(cursor: &mut Cursor) -> (u64, u32) {
    let event = cursor.next().await.expect("next");
    (event.seq, event.decode().expect("number"))
}

fn kept(store: &Store) -> usize {
    store.read().scan(Scan::<Stored>::all()).count()
}

#[tokio::test]
async fn events_come_in_order_and_again_until_acknowledged() {
    let store = Store::memory();
    let mut cursor = store.cursor("a", "t").await.expect("cursor");
    emit(&store, 0..200).await;
    let mut seqs = Vec::new();
    for expected in 0..200 {
        let (seq, number) = next(&mut cursor).await;
        assert_eq!(number, expected);
        seqs.push(seq);
    }
    assert!(seqs.is_sorted());
    cursor.ack(seqs[149]).await.expect("ack");
    drop(cursor);
    let mut again = store.cursor("a", "t").await.expect("cursor");
    assert_eq!(next(&mut again).await, (seqs[150], 150));
}

#[tokio::test]
async fn events_of_one_transaction_keep_their_order() {
    let store = Store::memory();
    let mut cursor = store.cursor("a", "t").await.expect("cursor");
    let emitted = store
        .transact(|tx| (0..300u32).try_for_each(|n| tx.emit("t", &n)))
        .await;
    emitted.expect("emit");
    for expected in 0..300 {
        assert_eq!(next(&mut cursor).await.1, expected);
    }
}

#[tokio::test]
async fn events_are_kept_for_the_slowest_cursor_only() {
    let store = Store::memory();
    emit(&store, 0..3).await;
    assert_eq!(kept(&store), 0, "nobody listens");
    let mut slow = store.cursor("slow", "t").await.expect("cursor");
    let mut fast = store.cursor("fast", "t").await.expect("cursor");
    emit(&store, 10..13).await;
    let mut last = 0;
    for _ in 0..3 {
        last = next(&mut fast).await.0;
    }
    fast.ack(last).await.expect("ack");
    assert_eq!(kept(&store), 3);
    let (first, number) = next(&mut slow).await;
    assert_eq!(number, 10);
    slow.ack(first).await.expect("ack");
    assert_eq!(kept(&store), 2);
    store.remove_cursor("slow", "t").await.expect("remove");
    assert_eq!(kept(&store), 0);
}

#[tokio::test]
async fn a_new_cursor_starts_at_the_present() {
    let store = Store::memory();
    let _old = store.cursor("old", "t").await.expect("cursor");
    emit(&store, 0..5).await;
    let mut new = store.cursor("new", "t").await.expect("cursor");
    emit(&store, [5]).await;
    assert_eq!(next(&mut new).await.1, 5);
}

#[tokio::test]
async fn a_failed_transaction_emits_nothing() {
    let store = Store::memory();
    let _cursor = store.cursor("a", "t").await.expect("cursor");
    let failed: Result<(), StoreError> = store
        .transact(|tx| {
            tx.emit("t", &1)?;
            Err(StoreError::Closed("on purpose".into()))
        })
        .await;
    assert!(failed.is_err());
    assert_eq!(kept(&store), 0);
}

#[tokio::test]
async fn emitters_do_not_conflict_and_a_waiting_cursor_misses_nothing() {
    let store = Store::memory();
    let mut cursor = store.cursor("a", "t").await.expect("cursor");
    let emitters: Vec<_> = (0..8)
        .map(|lane| {
            let store = store.clone();
            tokio::spawn(async move {
                for number in 0..50u32 {
                    let mut runs = 0;
                    let emitted = store.transact(|tx| {
                        runs += 1;
                        tx.emit("t", &(lane, number))
                    });
                    emitted.await.expect("emit");
                    assert_eq!(runs, 1, "emitting conflicts");
                }
            })
        })
        .collect();
    let mut expected = [0; 8];
    for _ in 0..8 * 50 {
        let event = cursor.next().await.expect("next");
        let (lane, number): (usize, u32) = event.decode().expect("pair");
        assert_eq!(number, expected[lane]);
        expected[lane] += 1;
    }
    for emitter in emitters {
        emitter.await.expect("emitter");
    }
}
