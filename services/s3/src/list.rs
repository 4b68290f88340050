//! Listing names in order, a page at a time, with everything below a delimiter folded into one
//! common prefix.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gureum_kit::StoreError;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::errors::{Failure, Result};

/// The most that a page holds, whatever is asked for.
pub(crate) const MAX_PAGE: i32 = 1000;

/// What to list. A page's order is that of the names' UTF-8 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// The name behind which the page begins: a common prefix of that name was already given.
    pub(crate) marker: Option<&'a str>,
    pub(crate) max: usize,
}

#[derive(Debug)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) prefixes: Vec<String>,
    /// More follows.
    pub(crate) truncated: bool,
    /// Whether the page's last entry is the last of `prefixes`, and not of `items`.
    pub(crate) ends_in_prefix: bool,
}

pub(crate) type Rows<'a, T> = Box<dyn Iterator<Item = Result<T, StoreError>> + 'a>;

impl Query<'_> {
    /// Takes a page from `rows`, which begin behind the marker. `behind` gives the rows behind all
    /// names that start with a prefix: a folded prefix costs one step, however much is in it.
    pub(crate) fn page<'r, T>(
        &self,
        mut rows: Rows<'r, T>,
        behind: impl Fn(&str) -> Rows<'r, T>,
        name: impl Fn(&T) -> &str,
    ) -> Result<Page<T>, StoreError> {
        let mut page = Page {
            items: Vec::new(),
            prefixes: Vec::new(),
            truncated: false,
            ends_in_prefix: false,
        };
        if self.max == 0 {
            return Ok(page);
        }
        while let Some(row) = rows.next() {
            let row = row?;
            let folded = self.fold(name(&row)).map(str::to_owned);
            if let Some(folded) = folded.as_deref().filter(|f| self.marker == Some(f)) {
                rows = behind(folded);
                continue;
            }
            if page.items.len() + page.prefixes.len() == self.max {
                page.truncated = true;
                break;
            }
            page.ends_in_prefix = folded.is_some();
            match folded {
                Some(folded) => {
                    rows = behind(&folded);
                    page.prefixes.push(folded);
                }
                None => page.items.push(row),
            }
        }
        Ok(page)
    }

    /// The common prefix that a name is folded into.
    fn fold<'n>(&self, name: &'n str) -> Option<&'n str> {
        let delimiter = self.delimiter?;
        let rest = name.get(self.prefix.len()..)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        name.get(..end)
    }
}

/// The page size for what a client asks for.
pub(crate) fn page_size(asked: Option<i32>, name: &str) -> Result<i32> {
    match asked {
        Some(asked) if asked < 0 => Err(Failure::argument(
            name,
            asked,
            format!("Argument {name} must be an integer between 0 and 2147483647"),
        )),
        asked => Ok(asked.unwrap_or(MAX_PAGE).min(MAX_PAGE)),
    }
}

pub(crate) fn delimiter(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.is_empty())
}

/// Where a listing goes on. Clients see it as an opaque text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Behind(String),
    /// Behind everything that starts with it.
    BehindPrefix(String),
}

impl Place {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Behind(text) | Self::BehindPrefix(text) => text,
        }
    }

    pub(crate) fn token(&self) -> String {
        let (kind, text) = match self {
            Self::Behind(text) => ('k', text),
            Self::BehindPrefix(text) => ('p', text),
        };
        URL_SAFE_NO_PAD.encode(format!("{kind}{text}"))
    }

    pub(crate) fn of_token(token: &str) -> Result<Self> {
        let wrong = || {
            Failure::argument(
                "continuation-token",
                token,
                "The continuation token provided is incorrect",
            )
        };
        let bytes = URL_SAFE_NO_PAD.decode(token).map_err(|_| wrong())?;
        let text = String::from_utf8(bytes).map_err(|_| wrong())?;
        match text.split_at_checked(1) {
            Some(("k", text)) => Ok(Self::Behind(text.to_owned())),
            Some(("p", text)) => Ok(Self::BehindPrefix(text.to_owned())),
            _ => Err(wrong()),
        }
    }
}

/// Whether names are to be printed URL-encoded: XML 1.0 cannot carry all of them otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Encoding(bool);

const KEPT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/')
    .remove(b'*');

impl Encoding {
    pub(crate) fn named(name: Option<&str>) -> Result<Self> {
        match name {
            None | Some("") => Ok(Self(false)),
            Some(name) if name.eq_ignore_ascii_case("url") => Ok(Self(true)),
            Some(other) => Err(Failure::argument(
                "encoding-type",
                other,
                "Invalid Encoding Method specified in Request",
            )),
        }
    }

    pub(crate) fn print(self, text: &str) -> String {
        if self.0 {
            utf8_percent_encode(text, KEPT).to_string()
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn echo(self) -> Option<String> {
        self.0.then(|| "url".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn rows<'a>(names: &'a BTreeSet<String>, keep: impl Fn(&str) -> bool + 'a) -> Rows<'a, String> {
        Box::new(names.iter().filter(move |name| keep(name)).cloned().map(Ok))
    }

    /// All pages of a listing, following the markers that it gives.
    fn walk(
        names: &BTreeSet<String>,
        prefix: &str,
        delimiter: Option<&str>,
        max: usize,
    ) -> Vec<String> {
        let mut seen = Vec::new();
        let mut place: Option<Place> = None;
        loop {
            let (marker, whole) = match &place {
                None => (None, false),
                Some(Place::Behind(name)) => (Some(name.as_str()), false),
                Some(Place::BehindPrefix(name)) => (Some(name.as_str()), true),
            };
            let query = Query {
                prefix,
                delimiter,
                marker,
                max,
            };
            let start = move |name: &str| match marker {
                None => true,
                Some(marker) if whole => name > marker && !name.starts_with(marker),
                Some(marker) => name > marker,
            };
            let first = rows(names, move |name| name.starts_with(prefix) && start(name));
            let behind = |folded: &str| {
                let folded = folded.to_owned();
                rows(names, move |n| {
                    n.starts_with(prefix) && n > folded.as_str() && !n.starts_with(&folded)
                })
            };
            let page = query.page(first, behind, |name| name).expect("page");
            let mut entries = [page.items.clone(), page.prefixes.clone()].concat();
            entries.sort();
            assert!(entries.len() <= max);
            seen.extend(entries.clone());
            if !page.truncated {
                return seen;
            }
            let last = entries.pop().expect("a truncated page has entries");
            place = Some(if page.ends_in_prefix {
                Place::BehindPrefix(last)
            } else {
                Place::Behind(last)
            });
            let token = place.as_ref().expect("place").token();
            assert_eq!(Place::of_token(&token).ok(), place);
        }
    }

    proptest! {
        #[test]
        fn pages_add_up_to_the_whole(
            names in prop::collection::btree_set("[ab/é]{1,5}", 0..30),
            prefix in "[a/]{0,2}", delimiter in prop::option::of("[/b]{1,2}"), max in 1usize..5,
        ) {
            let mut expected: Vec<String> = names
                .iter()
                .filter(|name| name.starts_with(&prefix))
                .map(|name| match &delimiter {
                    Some(d) => match name[prefix.len()..].find(d.as_str()) {
                        Some(at) => name[..prefix.len() + at + d.len()].to_owned(),
                        None => name.clone(),
                    },
                    None => name.clone(),
                })
                .collect();
            expected.dedup();
            prop_assert_eq!(walk(&names, &prefix, delimiter.as_deref(), max), expected);
        }
    }

    #[test]
    fn names_are_printed_as_urls_where_asked() {
        let url = Encoding::named(Some("url")).expect("encoding");
        assert_eq!(url.print("a b+c/é"), "a%20b%2Bc/%C3%A9");
        assert_eq!(Encoding::named(None).expect("encoding").print("a b"), "a b");
        assert!(Encoding::named(Some("xml")).is_err());
    }
}
