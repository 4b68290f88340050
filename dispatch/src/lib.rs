//! How an operation is called: services and their handlers, callers, authorization, audit.
