//! Listings in pages: `Limit`, `Marker`, `NextMarker`, `Truncated`.

use gureum_dispatch::Cx;

use crate::errors::{Refusal, Result};
use crate::state::Kms;

/// Where a page starts and how long it is.
pub(crate) struct Page {
    /// Names the listing; a marker of another one is refused.
    scope: String,
    pub(crate) after: Option<String>,
    limit: usize,
}

/// One page; `marker` is there when more follows.
pub(crate) struct Paged<T> {
    pub(crate) items: Vec<T>,
    pub(crate) marker: Option<String>,
}

/// How many items a page holds if the request doesn't say, and at most.
pub(crate) struct Size {
    pub(crate) usual: usize,
    pub(crate) most: usize,
}

pub(crate) const KEYS: Size = Size {
    usual: 100,
    most: 1000,
};
pub(crate) const OTHERS: Size = Size {
    usual: 50,
    most: 100,
};

impl Page {
    /// `what` is the operation and whatever else must stay the same from page to page.
    pub(crate) fn read(
        kms: &Kms,
        cx: &Cx,
        what: &str,
        size: &Size,
        limit: Option<i32>,
        marker: Option<&str>,
    ) -> Result<Self> {
        let scope = format!("{what} {} {}", cx.region, cx.account());
        // More than the maximum is the maximum, as the model's limit of 1000 holds for all.
        let limit = match limit {
            None => size.usual,
            Some(limit) => usize::try_from(limit).unwrap_or(1).clamp(1, size.most),
        };
        let read = |marker: &str| kms.root.open_token(&scope, marker).ok_or(Refusal::Marker);
        let after = marker.map(read).transpose()?;
        Ok(Self {
            scope,
            after,
            limit,
        })
    }

    /// Takes one page of items that come in the order of their positions, from behind `after`.
    pub(crate) fn cut<T, E: Into<Refusal>>(
        &self,
        kms: &Kms,
        items: impl IntoIterator<Item = Result<T, E>>,
        position: impl Fn(&T) -> String,
    ) -> Result<Paged<T>> {
        let items = items.into_iter().take(self.limit + 1);
        let mut items = items
            .map(|item| item.map_err(Into::into))
            .collect::<Result<Vec<T>>>()?;
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more);
        let marker = last.map(|item| kms.root.token(&self.scope, &position(item)));
        Ok(Paged { items, marker })
    }

    /// Takes one page of items that are all at hand.
    pub(crate) fn of<T>(
        &self,
        kms: &Kms,
        items: impl IntoIterator<Item = T>,
        position: impl Fn(&T) -> String,
    ) -> Result<Paged<T>> {
        let behind = |item: &T| {
            self.after
                .as_ref()
                .is_none_or(|after| position(item) > *after)
        };
        let items = items.into_iter().filter(behind).map(Ok::<T, Refusal>);
        self.cut(kms, items, &position)
    }
}

impl<T> Paged<T> {
    pub(crate) fn truncated(&self) -> Option<bool> {
        Some(self.marker.is_some())
    }
}
