//! Tables to S3 and back: exports of a table as of a moment, imports into a new one.
//!
//! Both go on long after their request, and act on S3 in the name of whoever asked ([`asked`]). An
//! export first copies the table as of its moment, or gathers what changed in its [`window`], then
//! writes that out, file by file; an import
//! reads object by object, and notes with every batch of items how far it is. A restart goes on from
//! there.

pub(crate) mod asked;
pub(crate) mod asks;
mod csv;
mod exporting;
mod importing;
mod json;
pub(crate) mod model;
mod reading;
pub(crate) mod running;
pub(crate) mod window;
