//! Object content on disk: written durably, checksummed, verified on read.
