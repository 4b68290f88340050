//! The undo log of a table: what items were before they were changed, in the order of commits.
//!
//! A change carries the time at which its request came in, which the order of commits does not quite
//! follow. What a table was at a moment is therefore a prefix of the commits: those before the first
//! one whose request came later. It holds everything that was acknowledged by then, nothing that was
//! asked for afterwards, and no half of a transaction.

use bytes::Bytes;
use gureum_kit::{Reader, Scan, Tx};

use super::model::Undo;
use crate::errors::Result;
use crate::items::ItemKey;
use crate::model::Table;
use crate::sealing::Held;
use crate::value::Item;

/// No request takes longer than this to commit: how much the times of a log may go back.
const DISORDER: i64 = 10 * 60 * 1000;

/// Notes what an item was, in the transaction that changes it, where the table is logged.
pub(crate) fn note(
    tx: &mut Tx,
    table: &Table,
    at: &ItemKey,
    old: Option<&Item>,
    now: i64,
) -> Result<()> {
    let Some(log) = table.history.log else {
        return Ok(());
    };
    let seal = |item| Held::seal(table.data_key()?, &at.base(), item);
    tx.append(
        (log,),
        &Undo {
            log,
            at: now,
            partition: at.partition.clone().into(),
            sort: at.sort.clone().into(),
            old: old.map(seal).transpose()?,
        },
    )?;
    Ok(())
}

/// Leaves a mark in the log, so that no commit from here on comes before a cut at a moment until now,
/// whenever its request came in. Windows that meet at such a moment share no change and miss none.
pub(crate) fn mark(tx: &mut Tx, log: u64, now: i64) -> Result<()> {
    tx.append(
        (log,),
        &Undo {
            log,
            at: now,
            partition: Bytes::new(),
            sort: Bytes::new(),
            old: None,
        },
    )?;
    Ok(())
}

/// The number of the first commit that is later than `moment`; the highest number if there is none.
pub(crate) fn cut(view: &impl Reader, log: u64, moment: i64) -> Result<u64> {
    // By halves to where all that comes before is surely older, then one by one.
    let (mut low, mut high) = (0, u64::MAX);
    while low < high {
        let middle = low + (high - low) / 2;
        let first = view
            .scan(Scan::<Undo>::of((log,)).from((log, middle)).limit(1))
            .next();
        match first.transpose()? {
            Some(change) if change.at <= moment - DISORDER => low = middle + 1,
            _ => high = middle,
        }
    }
    let rest = view.scan(Scan::<Undo>::of((log,)).from((log, low)));
    for found in rest.stamped() {
        let (stamp, change) = found?;
        if change.at > moment {
            return Ok(stamp);
        }
    }
    Ok(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gureum_kit::{Store, StoreError};
    use proptest::prelude::*;

    /// The cut as its definition says it.
    fn plainly(store: &Store, moment: i64) -> u64 {
        let view = store.read();
        let all = view.scan(Scan::<Undo>::of((1,))).stamped();
        let mut all = all.map(|found| found.expect("a change"));
        all.find(|(_, change)| change.at > moment)
            .map_or(u64::MAX, |(stamp, _)| stamp)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn the_cut_is_where_the_first_later_change_is(
            times in prop::collection::vec((0i64..40, 0i64..DISORDER), 0..40),
            moment in 0i64..50 * DISORDER,
        ) {
            let mut times: Vec<i64> = times.iter().map(|(slot, late)| slot * DISORDER + late).collect();
            times.sort_by_key(|at| at / DISORDER);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
            let store = Store::memory();
            for log in [0u64, 1, 2] {
                for at in &times {
                    let change = Undo { log, at: *at, partition: Default::default(), sort: Default::default(), old: None };
                    runtime.block_on(store.transact(|tx| tx.append((log,), &change).map_err(|e: StoreError| e))).expect("append");
                }
            }
            prop_assert_eq!(cut(&store.read(), 1, moment).expect("cut"), plainly(&store, moment));
        }
    }
}
