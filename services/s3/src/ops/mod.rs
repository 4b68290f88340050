//! Handlers by resource. Each module adds its own lines to the table of operations.

mod attributes;
mod buckets;
mod complete;
mod copy;
mod delete;
mod edit;
mod get;
mod listing;
mod parts;
mod put;
mod restore;
mod tagging;
mod uploads;
mod versioning;

use gureum_dispatch::ServiceBuilder;

use crate::S3;

pub(crate) fn register(builder: ServiceBuilder<S3>) -> ServiceBuilder<S3> {
    let modules = [
        buckets::register,
        put::register,
        get::register,
        attributes::register,
        copy::register,
        delete::register,
        listing::register,
        versioning::register,
        tagging::register,
        restore::register,
        uploads::register,
        parts::register,
        complete::register,
    ];
    modules
        .into_iter()
        .fold(builder, |builder, register| register(builder))
}
