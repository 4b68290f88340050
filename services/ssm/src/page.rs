//! Listings in pages: `MaxResults` and `NextToken`.

use gureum_dispatch::Cx;

use crate::Ssm;
use crate::errors::{Refusal, Result};

/// Where a page starts and how long it is.
pub(crate) struct Page {
    scope: String,
    after: Option<String>,
    limit: usize,
}

impl Page {
    /// `what` is the operation and whatever else must stay the same from page to page; `limit` is
    /// what the request says, and how many there are else.
    pub(crate) fn read(
        ssm: &Ssm,
        cx: &Cx,
        what: String,
        (limit, usual): (Option<i32>, usize),
        token: Option<&str>,
    ) -> Result<Self> {
        let scope = format!("{what} {} {}", cx.region, cx.account());
        let read = |token: &str| {
            let position = ssm.tokens.open(&scope, token).ok_or(Refusal::Token)?;
            String::from_utf8(position).map_err(|_| Refusal::Token)
        };
        let after = token.map(read).transpose()?;
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        Ok(Self {
            scope,
            after,
            limit: limit.unwrap_or(usual),
        })
    }

    /// One page of items that come in the order of their positions, and the token for the next.
    pub(crate) fn cut<T>(
        &self,
        ssm: &Ssm,
        items: impl IntoIterator<Item = T>,
        position: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let behind = |item: &T| {
            self.after
                .as_ref()
                .is_none_or(|after| position(item) > *after)
        };
        let items = items.into_iter().filter(behind).take(self.limit + 1);
        let mut items: Vec<T> = items.collect();
        let more = items.len() > self.limit;
        items.truncate(self.limit);
        let last = items.last().filter(|_| more).map(&position);
        let token = last.map(|last| ssm.tokens.seal(&self.scope, last.as_bytes()));
        (items, token)
    }
}
