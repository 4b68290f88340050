//! Networks on a real kernel, as root, inside namespaces that each test makes.
#![allow(clippy::unwrap_used)] // Helpers of tests are tests, too.

mod beyond;
mod counts;
mod figures;
mod lab;
mod life;
mod reach;
mod rules;
