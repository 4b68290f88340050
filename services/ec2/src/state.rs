//! The service's state, and the two ways to it: a snapshot to read, one transaction to write.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use gureum_dispatch::Cx;
use gureum_kit::idempotency::{self, Seen};
use gureum_kit::reconcile::{Driver, Waker};
use gureum_kit::store::Snapshot;
use gureum_kit::{Clock, PageTokens, Store, StoreError, Tx};
use gureum_schema::Struct;

use crate::cidr::Cidr;
use crate::defaults;
use crate::errors::{Refusal, Result};
use crate::fingerprint;
use crate::machines::Planes;
use crate::marks::Marks;
use crate::metadata::Leases;
use crate::names::Names;
use crate::reconcile;
use crate::resource::{Described, Find, Here, Resource};
use crate::ways::Ways;

/// How long a client token is remembered.
const KEEP_TOKENS: Duration = Duration::from_secs(24 * 3600);

/// EC2. See the crate's page.
pub struct Ec2 {
    pub(crate) store: Store,
    pub(crate) clock: Clock,
    pub(crate) tokens: PageTokens,
    pub(crate) names: Names,
    /// Where public addresses come from.
    pub(crate) pool: Cidr,
    /// What instances run on, if this host can.
    pub(crate) planes: Option<Planes>,
    /// Wakes what makes networks true.
    pub(crate) networks: Waker,
    /// By which endpoints requests come.
    pub(crate) ways: Ways,
    /// Wakes what makes instances true.
    pub(crate) instances: Waker,
    /// Credentials that instances have been given.
    pub(crate) leases: Leases,
    /// Wakes what makes volumes true.
    pub(crate) volumes: Waker,
    /// Wakes what makes images true.
    pub(crate) images: Waker,
    /// Instances that shall not be booted at the moment.
    pub(crate) kept_down: Marks,
    /// Instances whose disks are being copied.
    pub(crate) copied: Marks,
    /// Held while the content of volumes is being handled.
    pub(crate) handling: tokio::sync::Mutex<()>,
    /// Held while blocks of snapshots are being written.
    pub(crate) drafting: tokio::sync::Mutex<()>,
    /// Held while networks are being changed.
    pub(crate) weaving: tokio::sync::Mutex<()>,
}

/// A change under way: one transaction at one place.
pub(crate) struct Change<'a> {
    pub(crate) tx: &'a mut Tx,
    pub(crate) here: &'a Here,
    pub(crate) names: &'a Names,
}

impl Ec2 {
    /// `domain` is what public host names end with; public addresses come from `pool`
    /// (`198.18.0.0`, 15).
    pub async fn open(
        store: Store,
        clock: Clock,
        driver: &Driver,
        domain: &str,
        pool: (Ipv4Addr, u8),
        planes: Option<Planes>,
    ) -> Result<Arc<Self>, StoreError> {
        let pool = Cidr::around(pool.0, pool.1);
        Ok(Arc::new(Self {
            tokens: PageTokens::load(&store).await?,
            names: Names {
                domain: domain.to_owned(),
            },
            pool,
            store,
            clock,
            planes,
            networks: driver.waker(reconcile::NETWORKS),
            ways: Ways::default(),
            instances: driver.waker(reconcile::INSTANCES),
            leases: Leases::default(),
            volumes: driver.waker(reconcile::VOLUMES),
            images: driver.waker(reconcile::IMAGES),
            kept_down: Marks::default(),
            copied: Marks::default(),
            handling: tokio::sync::Mutex::default(),
            drafting: tokio::sync::Mutex::default(),
            weaving: tokio::sync::Mutex::default(),
        }))
    }

    /// What there is, as one moment shows it; the region's default VPC included, which is made
    /// when the region is first looked at.
    pub(crate) async fn read(&self, cx: &Cx) -> Result<(Snapshot, Here)> {
        let here = Here::of(cx);
        let snapshot = self.store.read();
        if defaults::exist(&snapshot, &here)? {
            return Ok((snapshot, here));
        }
        self.prepare(&here).await?;
        Ok((self.store.read(), here))
    }

    /// Changes something in one transaction. A dry run checks all that a real one does, and then
    /// throws the transaction away.
    pub(crate) async fn write<T: Send>(
        &self,
        cx: &Cx,
        dry_run: Option<bool>,
        mut change: impl FnMut(&mut Change<'_>) -> Result<T> + Send,
    ) -> Result<T> {
        let here = Here::of(cx);
        if !defaults::exist(&self.store.read(), &here)? {
            self.prepare(&here).await?;
        }
        let done = self
            .store
            .transact(|tx| {
                let mut changing = Change {
                    tx,
                    here: &here,
                    names: &self.names,
                };
                let value = change(&mut changing)?;
                match dry_run {
                    Some(true) => Err(Refusal::DryRun),
                    _ => Ok(value),
                }
            })
            .await?;
        self.networks.wake();
        self.instances.wake();
        self.volumes.wake();
        Ok(done)
    }

    /// Makes something once per client token: the same request again finds what was made. The
    /// change returns the ids that stand for its result.
    pub(crate) async fn write_once(
        &self,
        cx: &Cx,
        dry_run: Option<bool>,
        token: Option<&str>,
        (operation, input): (&str, &dyn Struct),
        mut change: impl FnMut(&mut Change<'_>) -> Result<Vec<String>> + Send,
    ) -> Result<Vec<String>> {
        let Some(token) = token.filter(|token| !token.is_empty()) else {
            return self.write(cx, dry_run, change).await;
        };
        if token.len() > 128 {
            return Err(Refusal::value(
                "The client token is longer than 128 characters.",
            ));
        }
        let scope = format!("ec2:{operation} {} {}", cx.region, cx.account());
        let request = idempotency::Request {
            scope: &scope,
            token,
            fingerprint: fingerprint::of(input),
            keep: KEEP_TOKENS,
        };
        let now = cx.now.0;
        self.write(cx, dry_run, |w| {
            match idempotency::recall(w.tx, now, &request)? {
                Seen::Never => {}
                Seen::Before(ids) => return Ok(fingerprint::read_ids(&ids)),
                Seen::Differently => {
                    return Err(Refusal::new(
                        "IdempotentParameterMismatch",
                        "The client token has already been used for a request with other parameters.",
                    ));
                }
            }
            let ids = change(w)?;
            idempotency::remember(w.tx, now, &request, fingerprint::write_ids(&ids))?;
            Ok(ids)
        })
        .await
    }

    /// The first of these resources as replies show it, if it is still there.
    pub(crate) async fn shown<R: Described>(
        &self,
        cx: &Cx,
        ids: &[String],
    ) -> Result<Option<R::Shape>> {
        let (snapshot, here) = self.read(cx).await?;
        let id = ids.first().map_or("", String::as_str);
        let row = snapshot.find::<R>(&here, id)?;
        row.map(|row| row.shape(&snapshot, &self.names)).transpose()
    }

    async fn prepare(&self, here: &Here) -> Result<()> {
        self.store
            .transact(|tx| {
                defaults::make_region(&mut Change {
                    tx,
                    here,
                    names: &self.names,
                })
            })
            .await
    }
}

impl Change<'_> {
    /// The resource with this id; refuses one that isn't there.
    pub(crate) fn need<R: Resource>(&self, id: &str) -> Result<R> {
        self.tx.need(self.here, id)
    }

    /// The resource as replies show it.
    pub(crate) fn show<R: Described>(&self, row: &R) -> Result<R::Shape> {
        row.shape(self.tx, self.names)
    }

    pub(crate) fn find<R: Resource>(&self, id: &str) -> Result<Option<R>> {
        self.tx.find(self.here, id)
    }

    pub(crate) fn all<R: Resource>(&self) -> Result<Vec<R>> {
        self.tx.all(self.here)
    }

    pub(crate) fn of_vpc<R: Resource>(&self, vpc: &str) -> Result<Vec<R>> {
        self.tx.of_vpc(self.here, vpc)
    }

    pub(crate) fn put<R: Resource>(&mut self, row: &R) -> Result<()> {
        Ok(self.tx.put(row)?)
    }

    pub(crate) fn delete<R: Resource>(&mut self, row: &R) -> Result<()> {
        Ok(self.tx.delete::<R>(row.key())?)
    }

    /// Changes the resource with this id; refuses one that isn't there.
    pub(crate) fn change<R: Resource, T>(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut R) -> Result<T>,
    ) -> Result<T> {
        let mut row = self.need::<R>(id)?;
        let value = change(&mut row)?;
        self.put(&row)?;
        Ok(value)
    }
}
