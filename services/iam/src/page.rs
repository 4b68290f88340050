//! Listings in pages: `Marker`, `MaxItems`, `IsTruncated`.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use gureum_kit::{AccountId, Reader, Row, Scan};

use crate::errors::{Fault, Outcome};

/// What a page holds when the request doesn't say.
const DEFAULT_ITEMS: usize = 100;
const MAX_ITEMS: usize = 1000;

/// One page of a listing; `marker` is there when more follows.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

/// Where a page starts and how long it is.
pub(crate) struct Ask {
    /// The key of the last item of the page before.
    after: Option<String>,
    limit: usize,
}

impl Ask {
    pub(crate) fn new(marker: Option<&str>, max_items: Option<i32>) -> Outcome<Self> {
        let limit = match max_items {
            None => DEFAULT_ITEMS,
            Some(max) => usize::try_from(max)
                .ok()
                .filter(|max| (1..=MAX_ITEMS).contains(max))
                .ok_or_else(|| Fault::validation("MaxItems must be between 1 and 1000"))?,
        };
        let after = marker.map(decode).transpose()?;
        Ok(Self { after, limit })
    }

    /// The page of items that come in the order of `key`.
    pub(crate) fn page<T>(
        &self,
        items: impl IntoIterator<Item = T>,
        key: impl Fn(&T) -> String,
    ) -> Page<T> {
        let behind = |item: &T| self.after.as_ref().is_none_or(|after| key(item) > *after);
        let mut items: Vec<T> = items
            .into_iter()
            .filter(behind)
            .take(self.limit + 1)
            .collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more);
        let marker = last.map(|item| BASE64.encode(key(item)));
        Page { items, marker }
    }

    /// The page of an account's rows that pass `keep`.
    pub(crate) fn rows<R: Row<Key = (AccountId, String)>>(
        &self,
        reader: &impl Reader,
        account: &AccountId,
        keep: impl Fn(&R) -> bool,
    ) -> Outcome<Page<R>> {
        let mut scan = Scan::<R>::of((account,));
        if let Some(after) = &self.after {
            scan = scan.after((account, after.as_str()));
        }
        let mut items = Vec::new();
        for row in reader.scan(scan) {
            let row = row?;
            if keep(&row) {
                items.push(row);
            }
            if items.len() > self.limit {
                break;
            }
        }
        Ok(self.page(items, |row| row.key().1))
    }
}

impl<T> Page<T> {
    pub(crate) fn truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }
}

fn decode(marker: &str) -> Outcome<String> {
    let bytes = BASE64.decode(marker).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Fault::validation("Invalid Marker: it must come from a former reply"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn pages_laid_end_to_end_are_the_whole_listing(
            items in prop::collection::btree_set("[a-c]{1,3}", 0..20), limit in 1..7i32,
        ) {
            let (mut all, mut marker) = (Vec::new(), None);
            loop {
                let ask = Ask::new(marker.as_deref(), Some(limit)).map_err(|_| TestCaseError::fail("ask"))?;
                let page = ask.page(items.iter().cloned(), String::clone);
                prop_assert!(page.items.len() <= usize::try_from(limit).unwrap_or(0));
                all.extend(page.items);
                marker = page.marker;
                if marker.is_none() { break }
            }
            prop_assert_eq!(all, items.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_marker_of_our_own_making_is_needed() {
        assert!(Ask::new(Some("%%"), None).is_err());
        assert!(Ask::new(None, Some(0)).is_err());
    }
}
