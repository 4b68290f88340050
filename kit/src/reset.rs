//! Reset: what accounts have is gone with one commit.
//!
//! Whoever keeps things for accounts says by [`Reset`] which rows stand for them. All those rows go
//! in one transaction, so a reset that is cut short has happened or has not. What hangs on them
//! (messages, items, contents, whatever really runs) is removed afterwards by the same background
//! work that removes it when somebody deletes its owner.

use std::sync::Arc;

use async_trait::async_trait;

use crate::store::{PrefixOf, Reader, Row, Scan, Store, StoreError, Tx};
use crate::{AccountId, idempotency};

/// Whose things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Everybody,
    Account(AccountId),
}

impl Whose {
    pub fn includes(&self, account: &AccountId) -> bool {
        match self {
            Self::Everybody => true,
            Self::Account(one) => one == account,
        }
    }

    /// Deletes the rows of a table that are theirs, and returns them.
    pub fn delete<R: Row>(
        &self,
        tx: &mut Tx,
        owner: impl Fn(&R) -> &AccountId,
    ) -> Result<Vec<R>, StoreError>
    where
        (): PrefixOf<R::Key>,
    {
        let rows = tx.scan(Scan::<R>::all());
        let theirs = rows.filter(|row| row.as_ref().map_or(true, |row| self.includes(owner(row))));
        let theirs: Vec<R> = theirs.collect::<Result<_, _>>()?;
        for row in &theirs {
            tx.delete::<R>(row.key())?;
        }
        Ok(theirs)
    }
}

/// What keeps changes away while it lives.
pub type Hold<'a> = Box<dyn Send + 'a>;

/// Something that keeps things for accounts.
#[async_trait]
pub trait Reset: Send + Sync + 'static {
    /// For those who keep in memory what is in the store: ends the changes that are under way, and
    /// lets no other begin.
    async fn hold(&self) -> Hold<'_> {
        Box::new(())
    }

    /// Deletes what stands for their things. May run more than once.
    fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError>;

    /// It is committed: memory follows, and the background work is woken.
    fn deleted(&self, whose: Whose) {
        let _ = whose;
    }
}

/// Deletes everything, or everything of one account; returns when that is durable and to be seen.
/// Runs to its end even when the caller goes away.
///
/// # Errors
/// As of [`Store::transact`]; nothing is deleted then.
pub async fn reset(store: &Store, of: &[Arc<dyn Reset>], whose: Whose) -> Result<(), StoreError> {
    let (store, of) = (store.clone(), of.to_vec());
    let work = tokio::spawn(async move {
        let mut holds = Vec::with_capacity(of.len());
        for one in &of {
            holds.push(one.hold().await);
        }
        store
            .transact(|tx| {
                idempotency::reset(tx, whose)?;
                of.iter().try_for_each(|one| one.delete(tx, whose))
            })
            .await?;
        for one in &of {
            one.deleted(whose);
        }
        Ok(())
    });
    work.await
        .unwrap_or_else(|error| Err(StoreError::Closed(error.to_string())))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Serialize, Deserialize)]
    struct Thing {
        account: AccountId,
        name: String,
    }

    impl Row for Thing {
        const TABLE: &'static str = "test.thing";
        type Key = (AccountId, String);
        fn key(&self) -> Self::Key {
            (self.account, self.name.clone())
        }
    }

    /// Deletes things, or fails.
    struct Keeper {
        fails: bool,
        told: AtomicBool,
    }

    #[async_trait]
    impl Reset for Keeper {
        fn delete(&self, tx: &mut Tx, whose: Whose) -> Result<(), StoreError> {
            whose.delete::<Thing>(tx, |thing| &thing.account)?;
            match self.fails {
                true => Err(StoreError::Closed("test".into())),
                false => Ok(()),
            }
        }

        fn deleted(&self, _: Whose) {
            self.told.store(true, Ordering::SeqCst);
        }
    }

    fn keeper(fails: bool) -> Arc<Keeper> {
        Arc::new(Keeper {
            fails,
            told: AtomicBool::new(false),
        })
    }

    async fn left(after: &[Arc<Keeper>], whose: Whose) -> Vec<String> {
        let store = Store::memory();
        let put = |tx: &mut Tx| {
            for (account, name) in [("1", "a"), ("1", "b"), ("2", "c")] {
                let account = account.repeat(12).parse().expect("account");
                tx.put(&Thing {
                    account,
                    name: name.into(),
                })?;
            }
            Ok::<_, StoreError>(())
        };
        store.transact(put).await.expect("put");
        let of: Vec<Arc<dyn Reset>> = after.iter().map(|it| Arc::clone(it) as _).collect();
        let done = reset(&store, &of, whose).await;
        let fails = after.iter().any(|it| it.fails);
        assert_eq!(done.is_err(), fails);
        assert!(
            after
                .iter()
                .all(|it| it.told.load(Ordering::SeqCst) != fails)
        );
        let view = store.read();
        let rows = view.scan(Scan::<Thing>::all());
        rows.map(|row| row.expect("row").name).collect()
    }

    #[tokio::test]
    async fn one_accounts_things_go_or_everybodys() {
        let one = Whose::Account("111111111111".parse().expect("account"));
        assert_eq!(left(&[keeper(false)], one).await, ["c"]);
        assert!(left(&[keeper(false)], Whose::Everybody).await.is_empty());
    }

    #[tokio::test]
    async fn where_one_fails_nothing_goes() {
        let of = [keeper(false), keeper(true)];
        assert_eq!(left(&of, Whose::Everybody).await, ["a", "b", "c"]);
    }
}
