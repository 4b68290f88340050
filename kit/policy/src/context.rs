//! The request context: the condition keys of one request and their values.

/// Condition keys, case-insensitive, each with one or more values.
///
/// Keys stay as they were written first. A request has a few dozen of them at most, so a flat list
/// that is searched from the front beats any map.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Context {
    entries: Vec<(String, Vec<String>)>,
}

impl Context {
    /// A context without keys.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a key to one value, replacing what it had.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        self.set_all(key, [value]);
    }

    /// Sets a key to several values, replacing what it had. A key without values counts as absent.
    pub fn set_all(&mut self, key: &str, values: impl IntoIterator<Item = impl Into<String>>) {
        let values: Vec<String> = values.into_iter().map(Into::into).collect();
        match self
            .entries
            .iter_mut()
            .find(|(existing, _)| existing.eq_ignore_ascii_case(key))
        {
            Some((_, existing)) => *existing = values,
            None => self.entries.push((key.to_owned(), values)),
        }
    }

    /// [`Context::set`], for building in one expression.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        self.set(key, value);
        self
    }

    /// [`Context::set_all`], for building in one expression.
    #[must_use]
    pub fn with_all(
        mut self,
        key: &str,
        values: impl IntoIterator<Item = impl Into<String>>,
    ) -> Self {
        self.set_all(key, values);
        self
    }

    /// The values of a key; `None` if it is absent or has no value.
    pub fn get(&self, key: &str) -> Option<&[String]> {
        let (_, values) = self
            .entries
            .iter()
            .find(|(existing, _)| existing.eq_ignore_ascii_case(key))?;
        (!values.is_empty()).then_some(values)
    }

    /// The keys that are present, as first written and in that order, with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        let entries = self.entries.iter();
        let entries = entries.filter(|(_, values)| !values.is_empty());
        entries.map(|(key, values)| (key.as_str(), values.as_slice()))
    }
}
