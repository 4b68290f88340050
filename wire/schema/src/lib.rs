//! The vocabulary that AWS models are written in.
//!
//! A model crate holds plain structs and, beside them, their [`Schema`] as constant data. The
//! protocols in `gureum-wire` walk both together through [`Struct`] and [`Field`], so that each
//! protocol is one non-generic function however many operations there are. Services see only the
//! plain structs, [`Error`], [`Timestamp`] and [`Body`].
//!
//! This crate knows no protocol, opens nothing and depends on almost nothing: it is the one room
//! that models, services, dispatch and wire all stand on.

mod body;
mod error;
mod generated;
mod operation;
mod reflect;
mod schema;
mod time;

pub use body::{Body, Trailers, reason};
pub use bytes::Bytes;
pub use error::{Error, Fault, Result};
#[doc(hidden)]
pub use generated::no_such_member;
pub use operation::{Http, Operation, OperationSpec, Protocol, ServiceSpec};
pub use reflect::{Field, ListSlot, ListView, MapSlot, MapView, Slot, Struct, View, debug};
pub use schema::{ErrorInfo, Kind, Limits, Location, Member, NO_LIMITS, Schema};
pub use serde_json::Value as Document;
pub use time::{Timestamp, TimestampFormat};
