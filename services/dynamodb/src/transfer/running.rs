//! The background work of exports and imports: one step of each in turn until none is open.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use gureum_dispatch::{Cloud, Cx};
use gureum_kit::reconcile::RunError;
use gureum_kit::{Outcome, Reader, Reconciler, Region, Row, Scan, StoreError, Tx};
use gureum_schema::{Error, Operation};

use super::model::{Bucket, Export, ExportStage, Failure, Import, ImportStage};
use crate::errors::Refusal;
use crate::state::DynamoDb;

pub(crate) const TRANSFERS: &str = "dynamodb.transfers";

/// Why a step did not go as it should.
pub(super) enum Stop {
    /// It will not get better by trying again.
    Failed(Failure),
    /// The bucket is in another region.
    Elsewhere(Region),
    Later(Error),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Later(refusal.into())
    }
}

impl Stop {
    /// What an answer of S3 means for the job.
    pub(super) fn of(error: Error) -> Self {
        let elsewhere = error.headers.iter();
        let elsewhere = elsewhere.filter(|(name, _)| *name == "x-amz-bucket-region");
        if let Some(region) = elsewhere.filter_map(|(_, at)| at.parse().ok()).next()
            && error.code == "PermanentRedirect"
        {
            return Self::Elsewhere(region);
        }
        if error.status >= 500 && error.status != 501 {
            return Self::Later(error);
        }
        Self::Failed(Failure {
            code: format!("S3{}", error.code),
            message: error.message,
        })
    }
}

/// Calls S3 for a job.
pub(super) async fn s3<O: Operation>(cx: &Cx, input: O::In) -> Result<O::Out, Stop> {
    cx.call::<O>(input).await.map_err(Stop::of)
}

pub(crate) struct Transferring {
    pub(crate) db: Arc<DynamoDb>,
    pub(crate) cloud: Arc<Cloud>,
}

#[async_trait]
impl Reconciler for Transferring {
    fn name(&self) -> &'static str {
        TRANSFERS
    }

    fn period(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        // One that fails does not hold up the others.
        let mut failed = BTreeMap::new();
        loop {
            let (mut exports, mut imports) = self.open().map_err(Error::from)?;
            exports.retain(|export| !failed.contains_key(&export.id));
            imports.retain(|import| !failed.contains_key(&import.id));
            if exports.is_empty() && imports.is_empty() {
                return failed
                    .into_values()
                    .next()
                    .map_or(Ok(Outcome::Settled), Err);
            }
            for export in exports {
                let id = export.id.clone();
                if let Err(error) = self.export(export).await {
                    failed.insert(id, error);
                }
            }
            for import in imports {
                let id = import.id.clone();
                if let Err(error) = self.import(import).await {
                    failed.insert(id, error);
                }
            }
        }
    }
}

impl Transferring {
    /// The jobs that can go on. Ended ones are few and small: they are kept to be described.
    fn open(&self) -> Result<(Vec<Export>, Vec<Import>), Refusal> {
        let view = self.db.store.read();
        let exports = view.scan(Scan::<Export>::all());
        let exports = exports.filter(|found| {
            let stage = found.as_ref().map(|export| &export.stage);
            !matches!(
                stage,
                Ok(ExportStage::Copying | ExportStage::Done | ExportStage::Failed(_))
            )
        });
        let imports = view.scan(Scan::<Import>::all());
        let imports = imports.filter(|found| {
            let stage = found.as_ref().map(|import| &import.stage);
            !matches!(stage, Ok(ImportStage::Done | ImportStage::Failed(_)))
        });
        Ok((
            exports.collect::<Result<_, _>>()?,
            imports.collect::<Result<_, _>>()?,
        ))
    }

    async fn export(&self, mut export: Export) -> Result<(), RunError> {
        match self.export_step(&mut export).await {
            Ok(()) => {}
            Err(Stop::Later(error)) => return Err(error.into()),
            Err(Stop::Elsewhere(region)) => moved(&mut export.bucket, region)?,
            Err(Stop::Failed(failure)) => {
                export.ended = Some(self.db.clock.now());
                export.stage = ExportStage::Failed(failure);
            }
        }
        self.keep_export(&export).await.map_err(Error::from)?;
        Ok(())
    }

    async fn import(&self, mut import: Import) -> Result<(), RunError> {
        match self.import_step(&mut import).await {
            Ok(()) => Ok(()),
            Err(Stop::Later(error)) => Err(error.into()),
            Err(Stop::Elsewhere(region)) => {
                moved(&mut import.bucket, region)?;
                let keep = |tx: &mut Tx| still(tx, &import);
                self.db.store.transact(keep).await?;
                Ok(())
            }
            Err(Stop::Failed(failure)) => {
                self.fail_import(import, failure)
                    .await
                    .map_err(Error::from)?;
                Ok(())
            }
        }
    }
}

/// Remembers how far an import is, unless a reset has deleted it meanwhile.
pub(super) fn still(tx: &mut Tx, import: &Import) -> Result<(), StoreError> {
    match tx.has::<Import>(import.key())? {
        true => tx.put(import),
        false => Ok(()),
    }
}

/// Goes on in the region that S3 named; being sent about twice is a failure like any other.
fn moved(bucket: &mut Bucket, region: Region) -> Result<(), Error> {
    if bucket.region.as_ref() == Some(&region) {
        return Err(Error::internal("S3 sends to the region where it was asked"));
    }
    bucket.region = Some(region);
    Ok(())
}
