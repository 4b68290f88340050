//! The ground floor: store, names, clock, events, reconcile driver, tokens.
