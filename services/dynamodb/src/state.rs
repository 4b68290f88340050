//! The service's state: the tables as they are now, and the way to the store.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Bound;
use std::sync::{
    Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard, Weak,
};

use gureum_dispatch::{Cloud, Cx};
use gureum_kit::names::id;
use gureum_kit::store::Encoded;
use gureum_kit::{Arn, Clock, Driver, PageTokens, Reader, Row, Scan, Store, StoreError, Tx, Waker};
use gureum_policy::{Kind, Policy};

use crate::collections::Collections;
use crate::errors::{Refusal, Result};
use crate::model::{Table, TableKey};
use crate::reconcile::{BACKFILL, COPIES, SHIPPING, SWEEP};
use crate::sealing::Vault;
use crate::shards::Measured;
use crate::throttle::Throttle;
use crate::transfer::running::TRANSFERS;

/// DynamoDB. One value serves all accounts and regions.
pub struct DynamoDb {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    /// What is in the store, for reads: writes read the table's row in their transaction.
    pub(crate) tables: RwLock<BTreeMap<TableKey, Arc<Live>>>,
    /// Held by whoever changes tables, so that memory follows the store in order.
    pub(crate) admin: tokio::sync::Mutex<()>,
    pub(crate) census: Mutex<HashMap<u64, Counted>>,
    /// Tables that were written to since they were counted.
    pub(crate) changed: Mutex<HashSet<u64>>,
    pub(crate) throttle: Throttle,
    pub(crate) collections: Collections,
    pub(crate) tokens: PageTokens,
    pub(crate) vault: Vault,
    /// The way to KMS for what the service does by itself, once the cloud is there.
    pub(crate) cloud: OnceLock<Weak<Cloud>>,
    pub(crate) measured: Mutex<Measured>,
    pub(crate) wake_backfill: Waker,
    pub(crate) wake_sweep: Waker,
    pub(crate) wake_copies: Waker,
    pub(crate) wake_shipping: Waker,
    pub(crate) wake_transfers: Waker,
}

/// A table with its policy parsed, and its data key opened if that is not one of KMS.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) table: Table,
    pub(crate) policy: Option<Arc<Policy>>,
    pub(crate) arn: String,
    /// Its row, to see in a transaction that it is what is in the store.
    pub(crate) row: Arc<Encoded>,
}

/// How many items a space holds and how large they are, as last counted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) items: i64,
    pub(crate) bytes: i64,
}

impl Live {
    pub(crate) fn new(mut table: Table, vault: &Vault) -> Result<Self, StoreError> {
        let policy = table.policy.as_ref();
        let policy = policy.and_then(|p| Policy::parse(&p.text, Kind::Resource).ok());
        if let Err(refusal) = vault.unlock_own(table.sealing.as_mut()) {
            tracing::error!(table = table.name, ?refusal, "a table cannot be read");
        }
        Ok(Self {
            policy: policy.map(Arc::new),
            arn: table.arn().to_string(),
            row: Arc::new(Encoded::of(&table)?),
            table,
        })
    }
}

impl DynamoDb {
    /// Opens the service on what the store holds. Data keys of tables are wrapped with `secret`
    /// where that is not done by KMS; `driver` is who will run [`DynamoDb::reconcilers`].
    pub async fn open(
        store: Store,
        clock: Clock,
        secret: &[u8; 32],
        driver: &Driver,
    ) -> Result<Arc<Self>, StoreError> {
        let vault = Vault::new(secret);
        let mut tables = BTreeMap::new();
        for table in store.read().scan(Scan::<Table>::all()) {
            let table = table?;
            tables.insert(table.key(), Arc::new(Live::new(table, &vault)?));
        }
        Ok(Arc::new(Self {
            vault,
            cloud: OnceLock::new(),
            tokens: PageTokens::load(&store).await?,
            store,
            clock,
            tables: RwLock::new(tables),
            admin: tokio::sync::Mutex::default(),
            census: Mutex::default(),
            changed: Mutex::default(),
            throttle: Throttle::default(),
            collections: Collections::default(),
            measured: Mutex::default(),
            wake_backfill: driver.waker(BACKFILL),
            wake_sweep: driver.waker(SWEEP),
            wake_copies: driver.waker(COPIES),
            wake_shipping: driver.waker(SHIPPING),
            wake_transfers: driver.waker(TRANSFERS),
        }))
    }

    fn tables(&self) -> RwLockReadGuard<'_, BTreeMap<TableKey, Arc<Live>>> {
        self.tables.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn tables_mut(&self) -> RwLockWriteGuard<'_, BTreeMap<TableKey, Arc<Live>>> {
        self.tables.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn find(&self, key: &TableKey) -> Option<Arc<Live>> {
        self.tables().get(key).cloned()
    }

    /// The table that a `TableName`, name or ARN, means.
    pub(crate) fn table(&self, cx: &Cx, name: &str) -> Result<Arc<Live>> {
        self.find(&key_of(cx, name)?)
            .filter(|live| !live.table.history.making)
            .ok_or_else(Refusal::no_table)
    }

    pub(crate) fn all(&self) -> Vec<Arc<Live>> {
        self.tables().values().cloned().collect()
    }

    /// Names of the caller's tables behind `start`, in order, one more than `limit`.
    pub(crate) fn names(&self, cx: &Cx, start: &str, limit: usize) -> Vec<String> {
        let (region, account) = (&cx.region, cx.account());
        let from = (region.clone(), *account, start.to_owned());
        let tables = self.tables();
        let rest = tables.range((Bound::Excluded(from), Bound::Unbounded));
        rest.map(|(key, _)| key)
            .take_while(|(r, a, _)| r == region && a == account)
            .take(limit + 1)
            .map(|(_, _, name)| name.clone())
            .collect()
    }

    pub(crate) fn count_of(&self, space: u64) -> Counted {
        let census = self.census.lock().unwrap_or_else(PoisonError::into_inner);
        census.get(&space).copied().unwrap_or_default()
    }

    /// Changes the table `key` in one transaction, and memory after it. `change` gets what is there
    /// and leaves what shall be there.
    pub(crate) async fn alter<T: Send>(
        &self,
        key: &TableKey,
        mut change: impl FnMut(&mut Tx, &mut Option<Table>) -> Result<T> + Send,
    ) -> Result<T> {
        let _turn = self.admin.lock().await;
        let (value, table) = self
            .store
            .transact(|tx| {
                let before: Option<Table> = tx.get::<Table>(key)?;
                let mut table = before.clone();
                let value = change(tx, &mut table)?;
                match (&table, before) {
                    (Some(table), _) => tx.put(table)?,
                    (None, Some(_)) => tx.delete::<Table>(key)?,
                    (None, None) => {}
                }
                Ok::<_, Refusal>((value, table))
            })
            .await?;
        self.remember(key, table)?;
        Ok(value)
    }

    /// Changes several tables in one transaction, and memory after it. `change` gives their keys
    /// beside its result.
    pub(crate) async fn alter_several<T: Send>(
        &self,
        mut change: impl FnMut(&mut Tx) -> Result<(T, Vec<TableKey>)> + Send,
    ) -> Result<T> {
        let _turn = self.admin.lock().await;
        let (value, touched) = self.store.transact(|tx| change(tx)).await?;
        let view = self.store.read();
        for key in &touched {
            self.remember(key, view.get::<Table>(key)?)?;
        }
        Ok(value)
    }

    /// Brings memory up to date with a table that was changed together with another.
    pub(crate) async fn reload(&self, key: &TableKey) -> Result<()> {
        let _turn = self.admin.lock().await;
        let table = self.store.read().get::<Table>(key)?;
        self.remember(key, table)
    }

    fn remember(&self, key: &TableKey, table: Option<Table>) -> Result<()> {
        let live = table
            .map(|table| Live::new(table, &self.vault))
            .transpose()?;
        let mut tables = self.tables_mut();
        match live {
            Some(live) => tables.insert(key.clone(), Arc::new(live)),
            None => tables.remove(key),
        };
        Ok(())
    }

    /// Runs to its end even if the caller goes away: memory must follow what was committed.
    pub(crate) async fn whole<T: Send + 'static>(
        work: impl Future<Output = Result<T>> + Send + 'static,
    ) -> Result<T> {
        match tokio::spawn(work).await {
            Ok(result) => result,
            Err(error) => Err(Refusal::Broken(error.to_string())),
        }
    }
}

/// A number for a new space.
pub(crate) fn new_space() -> u64 {
    u64::from_be_bytes(id::bytes())
}

/// The table in an ARN of a table or of anything below it.
pub(crate) fn key_of_arn(arn: &str) -> Option<TableKey> {
    let arn: Arn = arn.parse().ok()?;
    let name = arn.resource.strip_prefix("table/")?;
    let name = name.split('/').next().unwrap_or(name);
    (arn.service == "dynamodb").then_some(())?;
    Some((
        arn.region.parse().ok()?,
        arn.account.parse().ok()?,
        name.to_owned(),
    ))
}

/// The table that a name or an ARN means.
pub(crate) fn key_of(cx: &Cx, name: &str) -> Result<TableKey> {
    if name.starts_with("arn:") {
        return key_of_arn(name)
            .filter(|(region, _, table)| *region == cx.region && is_name(table))
            .ok_or_else(|| Refusal::validation(format!("Invalid table ARN: {}", short(name))));
    }
    if !is_name(name) {
        return Err(Refusal::validation(
            "Invalid table/index name.  Table/index names must be between 3 and 255 characters long, and may contain only the characters a-z, A-Z, 0-9, '_', '-', and '.'",
        ));
    }
    Ok((cx.region.clone(), *cx.account(), name.to_owned()))
}

pub(crate) fn is_name(name: &str) -> bool {
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.');
    (3..=255).contains(&name.len()) && name.bytes().all(good)
}

pub(crate) fn short(text: &str) -> String {
    text.chars().take(256).collect()
}
