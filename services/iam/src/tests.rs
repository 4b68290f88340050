//! Handlers, called the way everybody calls them.
