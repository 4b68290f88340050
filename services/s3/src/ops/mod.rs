//! Handlers by resource. Each module adds its own lines to the table of operations.

mod buckets;
mod get;
mod listing;
mod put;

use gureum_dispatch::ServiceBuilder;

use crate::S3;

pub(crate) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    let builder = buckets::register(builder);
    let builder = put::register(builder);
    let builder = get::register(builder);
    listing::register(builder)
}
