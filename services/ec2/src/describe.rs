//! Listings: ids, filters and pages, the same for every kind of resource.

use std::collections::BTreeSet;

use gureum_dispatch::Cx;
use gureum_kit::store::Snapshot;
use gureum_model_ec2::types as t;
use gureum_schema::Struct;

use crate::errors::{Refusal, Result};
use crate::filter::{Filters, Paths};
use crate::fingerprint;
use crate::resource::{Described, Find, Here, Resource};
use crate::state::Ec2;

/// The most items of a page.
const MAX_PAGE: usize = 1000;

/// What a `Describe…` request asks for.
#[derive(Default)]
pub(crate) struct Query<'a> {
    pub(crate) operation: &'static str,
    pub(crate) ids: Option<&'a Vec<String>>,
    pub(crate) filters: Option<&'a Vec<t::Filter>>,
    pub(crate) max: Option<i32>,
    pub(crate) token: Option<&'a str>,
    pub(crate) dry_run: Option<bool>,
}

/// One page; `next` is there when more follows.
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    pub(crate) next: Option<String>,
}

/// The query of a request whose members have their usual names.
macro_rules! query {
    ($operation:literal, $input:ident, $ids:ident) => {
        $crate::describe::Query {
            operation: $operation,
            ids: $input.$ids.as_ref(),
            filters: $input.filters.as_ref(),
            max: $input.max_results,
            token: $input.next_token.as_deref(),
            dry_run: $input.dry_run,
        }
    };
}
pub(crate) use query;

impl Ec2 {
    /// One page of the resources of a kind.
    pub(crate) async fn list<R: Described>(
        &self,
        cx: &Cx,
        query: Query<'_>,
    ) -> Result<Page<R::Shape>> {
        let (snapshot, here) = self.read(cx).await?;
        let rows = chosen::<R>(&snapshot, &here, query.ids)?;
        let shapes = rows.into_iter().map(|row| {
            let id = row.id().to_owned();
            Ok((id, row.shape(&snapshot, &self.names)?))
        });
        self.page(cx, query, R::FILTERS, shapes)
    }

    /// One page of shapes that come with the positions that they are ordered by.
    pub(crate) fn page<T: Struct>(
        &self,
        cx: &Cx,
        query: Query<'_>,
        paths: Paths,
        shapes: impl Iterator<Item = Result<(String, T)>>,
    ) -> Result<Page<T>> {
        let filters = Filters::read(paths, query.filters)?;
        if query.dry_run == Some(true) {
            return Err(Refusal::DryRun);
        }
        let scope = query.scope(cx);
        let after = query
            .token
            .map(|token| self.position(&scope, token))
            .transpose()?;
        let most = match query.max {
            None => MAX_PAGE,
            Some(max) => usize::try_from(max)
                .ok()
                .filter(|max| *max > 0)
                .ok_or_else(|| Refusal::wrong("maxResults", max))?
                .min(MAX_PAGE),
        };
        let mut items = Vec::new();
        let mut last = None;
        for shape in shapes {
            let (position, shape) = shape?;
            let seen = after.as_ref().is_some_and(|after| position <= *after);
            if seen || !filters.admit(&shape) {
                continue;
            }
            if items.len() == most {
                let last: Option<String> = last;
                let next = last.map(|last| self.tokens.seal(&scope, last.as_bytes()));
                return Ok(Page { items, next });
            }
            items.push(shape);
            last = Some(position);
        }
        Ok(Page { items, next: None })
    }

    fn position(&self, scope: &str, token: &str) -> Result<String> {
        let position = self.tokens.open(scope, token);
        let position = position.and_then(|bytes| String::from_utf8(bytes).ok());
        position.ok_or_else(|| {
            Refusal::new(
                "InvalidNextToken",
                format!("The token '{token}' is invalid"),
            )
        })
    }
}

impl Query<'_> {
    /// What must stay the same from page to page.
    fn scope(&self, cx: &Cx) -> String {
        let filters = t::DescribeVpcsRequest {
            filters: self.filters.cloned(),
            vpc_ids: self.ids.cloned(),
            ..Default::default()
        };
        let asked = hex::encode(fingerprint::of(&filters));
        let (operation, region, account) = (self.operation, &cx.region, cx.account());
        format!("ec2:{operation} {region} {account} {asked}")
    }
}

/// All rows of a kind, or those with these ids: every one of them must be there.
pub(crate) fn chosen<R: Resource>(
    snapshot: &Snapshot,
    here: &Here,
    ids: Option<&Vec<String>>,
) -> Result<Vec<R>> {
    let Some(ids) = ids.filter(|ids| !ids.is_empty()) else {
        return snapshot.all(here);
    };
    let mut rows = Vec::new();
    let mut absent = Vec::new();
    for id in ids.iter().collect::<BTreeSet<_>>() {
        R::KIND.check(id)?;
        match snapshot.find(here, id)? {
            Some(row) => rows.push(row),
            None => absent.push(id.as_str()),
        }
    }
    if absent.is_empty() {
        Ok(rows)
    } else {
        Err(R::KIND.all_absent(&absent))
    }
}
