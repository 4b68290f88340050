//! Marks on instances that hold as long as somebody is busy with them. In memory: whoever is busy dies
//! with the program.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The instances that are marked. Clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Marks(Arc<Mutex<BTreeSet<String>>>);

/// A mark, until it is dropped.
#[derive(Debug)]
pub(crate) struct Mark {
    marks: Marks,
    id: String,
}

impl Marks {
    /// Marks this one, unless somebody else has.
    pub(crate) fn set(&self, id: &str) -> Option<Mark> {
        self.lock().insert(id.to_owned()).then(|| Mark {
            marks: self.clone(),
            id: id.to_owned(),
        })
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().contains(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.marks.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time() {
        let marks = Marks::default();
        let mark = marks.set("i-1").expect("the first");
        assert!(marks.set("i-1").is_none() && marks.has("i-1"));
        let other = marks.set("i-2").expect("another");
        assert_eq!(marks.len(), 2);
        drop(mark);
        assert!(!marks.has("i-1") && marks.set("i-1").is_some());
        drop(other);
        assert_eq!(marks.len(), 0);
    }
}
