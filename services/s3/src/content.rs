//! Content on its way in and out, and the transaction that makes an object of it.

use std::io;
use std::ops::Range;

use futures_util::StreamExt as _;
use gureum_blob::{Algorithm, Key, Piece, open_inline};
use gureum_dispatch::Cx;
use gureum_kit::names::id;
use gureum_kit::{Reader, store::Snapshot};
use gureum_schema::{Body, Error, Timestamp, reason};

use crate::S3;
use crate::checksum::Claims;
use crate::conditions::WriteIf;
use crate::errors::{Code, Failure, Result};
use crate::leases::Lease;
use crate::model::{Bucket, Checksum, Content, Object, Stored, Version};
use crate::notify::Cause;
use crate::sealing::Sealing;
use crate::versions;

/// Bytes of the largest object or part that is sent, or copied, in one go: 5 GiB.
pub(crate) const MAX_SINGLE: u64 = 5 << 30;

/// Content that has come in whole and is what its sender said. A file is durable.
#[derive(Debug)]
pub(crate) struct Received {
    pub(crate) piece: Piece,
    pub(crate) size: u64,
    /// Hexadecimal, without quotes.
    pub(crate) etag: String,
    /// Of the algorithm that the sender chose, or else our default.
    pub(crate) checksum: Checksum,
    /// The one to keep; the same unless [`Claims::keeping`] says otherwise.
    pub(crate) kept: Option<Checksum>,
}

impl Received {
    /// Where an object keeps it.
    pub(crate) fn stored(&self) -> Stored {
        match self.piece {
            Piece::File(id, _) => Stored::File(id),
            Piece::Inline(_) => Stored::Inline,
        }
    }
}

impl S3 {
    /// Takes content in, encrypted with `key`, and checks it against what was said of it.
    pub(crate) async fn receive(
        &self,
        mut body: Body,
        sealing: &Sealing,
        key: &Key,
        claims: &Claims,
    ) -> Result<Received> {
        check_size(body.length().unwrap_or(0))?;
        let trailers = body.trailers();
        let mut intake = self.blobs.intake(Some(key)).with_digests(&claims.wanted());
        while let Some(chunk) = body.chunk().await {
            intake.write(chunk.map_err(broken)?).await?;
            check_size(intake.len())?;
        }
        let taken = intake.finish().await?;
        let checksum = match claims.check(&taken.sums, &trailers) {
            Ok(checksum) => checksum,
            Err(failure) => {
                self.forget(&taken.piece).await;
                return Err(failure);
            }
        };
        let md5 = taken.sums.get(&Algorithm::Md5).map(hex::encode);
        let etag = match sealing {
            Sealing::Managed(_) => md5.unwrap_or_default(),
            // The MD5 of what is under somebody's own key is none of ours to show.
            Sealing::Customer { .. } | Sealing::Kms(_) => id::hex_digits(32),
        };
        let kept = claims.keep(&taken.sums);
        Ok(Received {
            piece: taken.piece,
            size: taken.len,
            etag,
            checksum,
            kept,
        })
    }

    /// Removes content that came to nothing. What fails here, the next start's sweep removes.
    pub(crate) async fn forget(&self, piece: &Piece) {
        if let Piece::File(id, _) = piece
            && let Err(error) = self.blobs.delete(*id).await
        {
            tracing::warn!(%id, %error, "refused content stays until the next start");
        }
    }

    /// Makes received content the newest version of its key.
    ///
    /// `event` is how notifications call it, `ObjectCreated:Put`.
    pub(crate) async fn publish(
        &self,
        (cx, event): (&Cx, &'static str),
        bucket: &Bucket,
        key: &str,
        object: &Object,
        piece: &Piece,
        condition: &WriteIf,
    ) -> Result<(Bucket, Version)> {
        let published = self
            .store
            .transact(|tx| -> Result<_> {
                let bucket = same(tx, bucket)?;
                if condition.is_given() {
                    condition.check(versions::newest(tx, &bucket, key)?.as_ref(), key)?;
                }
                let version = self.version(&bucket, key, object.clone());
                versions::retain_piece(tx, piece)?;
                let heavy = matches!(object.stored, Stored::Inline).then(|| Content {
                    bucket: bucket.id,
                    key: key.to_owned(),
                    seq: 0,
                    pieces: vec![piece.clone()],
                    parts: Vec::new(),
                });
                let version = versions::file(tx, &bucket, version, heavy)?;
                self.tell_of(tx, Cause::Request(cx), &bucket, &version, event)?;
                Ok((bucket, version))
            })
            .await;
        if let Err(failure) = &published
            && failure.is_refusal()
        {
            self.forget(piece).await;
        }
        published
    }

    /// A version yet to be filed. It is dated when it is filed, so that dates follow commits.
    pub(crate) fn version(&self, bucket: &Bucket, key: &str, mut object: Object) -> Version {
        let owner = object.traits.owner.take().unwrap_or(bucket.owner);
        Version {
            bucket: bucket.id,
            key: key.to_owned(),
            seq: 0,
            salt: 0,
            null: false,
            modified: Timestamp(self.clock.now()),
            owner,
            object: Some(object),
        }
    }

    /// An object's content, or `range` of it. `view` is where its row was seen, and `lease` is
    /// older than that.
    pub(crate) async fn open(
        &self,
        view: &Snapshot,
        version: &Version,
        object: &Object,
        key: &Key,
        range: Range<u64>,
        lease: Lease,
    ) -> Result<Body> {
        let length = range.end - range.start;
        let (reader, lease) = match &object.stored {
            Stored::Inline => {
                let content = heavy(view, version)?;
                let Some(Piece::Inline(frame)) = content.pieces.first() else {
                    return Err(Code::InternalError.error());
                };
                let whole = open_inline(frame, Some(key))?;
                // Inline content is far smaller than usize, and the range was made to fit it.
                return Ok(Body::from(
                    whole.slice(range.start as usize..range.end as usize),
                ));
            }
            // The file is open from here on: nothing can be taken away any more.
            Stored::File(id) => (
                self.blobs
                    .open_read_encrypted(*id, key, Some(range))
                    .await?,
                None,
            ),
            Stored::Parts => {
                let content = heavy(view, version)?;
                let reader = self
                    .blobs
                    .open_pieces(&content.pieces, Some(key), Some(range));
                (reader.await?, Some(lease))
            }
        };
        let name = format!("{}/{}", version.bucket, version.key);
        let chunks = reader.map(move |chunk| {
            let _held = &lease;
            chunk.map_err(|error| {
                tracing::error!(object = name, %error, "content cannot be read");
                io::Error::other(Error::from(Code::InternalError.error()))
            })
        });
        Ok(Body::stream(chunks, Some(length)))
    }
}

/// The row with a version's heavy part.
pub(crate) fn heavy(from: &impl Reader, version: &Version) -> Result<Content> {
    let row = from.get::<Content>((version.bucket, version.key.as_str(), version.seq))?;
    row.ok_or_else(|| {
        tracing::error!(key = version.key, "an object's content row is missing");
        Code::InternalError.error()
    })
}

/// The bucket as it is now, if it is still the one that the request began with.
pub(crate) fn same(from: &impl Reader, bucket: &Bucket) -> Result<Bucket> {
    let now = S3::bucket_in(from, &bucket.name)?;
    if now.id == bucket.id {
        Ok(now)
    } else {
        Err(Code::NoSuchBucket.with("BucketName", &bucket.name))
    }
}

fn check_size(size: u64) -> Result<()> {
    if size > MAX_SINGLE {
        return Err(Code::EntityTooLarge
            .with("ProposedSize", size)
            .with("MaxSizeAllowed", MAX_SINGLE));
    }
    Ok(())
}

/// Why a body could not be read to its end.
fn broken(error: io::Error) -> Failure {
    match reason(error) {
        Ok(reason) => reason.into(),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Code::RequestTimeout.error(),
        Err(_) => Code::IncompleteBody.error(),
    }
}
