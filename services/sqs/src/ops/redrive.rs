//! ListDeadLetterSourceQueues.

use std::sync::Arc;

use gureum_dispatch::Cx;
use gureum_model_sqs::types as t;

use super::queues::Page;
use crate::queue::Queue;
use crate::state::{Sqs, url_of};

pub(crate) async fn list_sources(
    sqs: Arc<Sqs>,
    cx: Cx,
    input: t::ListDeadLetterSourceQueuesRequest,
) -> gureum_schema::Result<t::ListDeadLetterSourceQueuesResult> {
    let queue = sqs.at(&cx, &input.queue_url)?;
    let scope = format!("ListDeadLetterSourceQueues {}", queue.arn);
    let page = Page::read(&sqs, &scope, input.max_results, input.next_token.as_deref())?;
    let after = page.after.as_deref().unwrap_or_default();
    let sources = sqs
        .sources_of(&queue)
        .into_iter()
        .filter(|source| source.arn.resource.as_str() > after)
        .take(page.most + 1)
        .collect();
    let (sources, next_token) = page.cut(&sqs, &scope, sources);
    Ok(t::ListDeadLetterSourceQueuesResult {
        queue_urls: sources.iter().map(|source| url_of(&cx, source)).collect(),
        next_token,
    })
}

impl Sqs {
    /// The queues whose dead letters go to this one, by name.
    pub(crate) fn sources_of(&self, grave: &Queue) -> Vec<Arc<Queue>> {
        let config = grave.config();
        let (region, account) = (&config.row.region, config.row.account);
        let mut sources = self.list(region, account, "", None, usize::MAX);
        sources.retain(|source| {
            let config = source.config();
            let redrive = config.row.settings.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.target == grave.arn)
        });
        sources
    }
}
