//! That listing a large bucket costs the same per page from the first page to the last.

use std::time::Instant;

use futures_util::future::try_join_all;
use http::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Setting, create_bucket};
use crate::client::{Connection, Cover, Payload, Requests, runtime};
use crate::failure::{Failure, Result};
use crate::machine;
use crate::report::{Row, mebibytes, number};
use crate::server::Server;
use crate::stats::median;

const PAGE: u64 = 1000;
const WRITERS: u64 = 64;
/// How much slower the last tenth may be; less than this is noise.
const SLOPE: f64 = 1.5;
const ALLOWANCE: f64 = 8.0;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("listing")?;
    let requests = Requests::to(cloud.address)?;
    create_bucket(&cloud, &requests, "/bench")?;
    fill(&cloud, &requests, setting.keys)?;
    // The first pass is for the caches; memory is compared between equal passes.
    list(&cloud, &requests, setting.keys)?;
    let before = machine::resident(cloud.pid())?;
    machine::forget_peak(cloud.pid())?;
    let mut pages = list(&cloud, &requests, setting.keys)?;
    // The best of several passes for each page: what is left is the page's own cost.
    for _ in 1..setting.rounds {
        let again = list(&cloud, &requests, setting.keys)?;
        for (best, page) in pages.iter_mut().zip(again) {
            *best = best.min(page);
        }
    }
    let grown = mebibytes(machine::peak(cloud.pid())?.saturating_sub(before));
    let tenth = pages.len().div_ceil(10);
    let first = median(pages[..tenth].iter().copied());
    let last = median(pages[pages.len() - tenth..].iter().copied());
    let title = format!("S3 listing of {} keys", number(setting.keys as f64));
    Ok(vec![
        Row::ratio(
            &format!("{title}: last tenth of the pages, against the first"),
            format!("{} ms a page", number(last)),
            format!("{} ms a page", number(first)),
            last / first,
            SLOPE,
        ),
        Row::at_most(
            &format!("{title}: memory that it adds"),
            grown,
            ALLOWANCE,
            "MiB",
        ),
    ])
}

/// Puts empty objects, each writer its share of the keys.
fn fill(cloud: &Server, requests: &Requests, keys: u64) -> Result<()> {
    let share = async |writer: u64| -> Result<()> {
        let mut connection = Connection::open(cloud.address).await?;
        for number in 0..keys.div_ceil(WRITERS) {
            let target = format!("/bench/{writer:02}/{number:08}");
            let request = requests.s3(Method::PUT, &target, Payload::default(), Cover::Body)?;
            connection.drain(request).await?;
        }
        Ok(())
    };
    let writers = (0..WRITERS).map(share);
    runtime()?.block_on(try_join_all(writers)).map(drop)
}

/// Milliseconds of each page. The whole listing must have as many keys as were put.
fn list(cloud: &Server, requests: &Requests, keys: u64) -> Result<Vec<f64>> {
    runtime()?.block_on(async {
        let mut connection = Connection::open(cloud.address).await?;
        let mut pages = Vec::new();
        let mut found = 0;
        let mut token = None;
        loop {
            let target = page_target(token.as_deref());
            let request = requests.s3(Method::GET, &target, Payload::default(), Cover::Body)?;
            let started = Instant::now();
            let body = connection.fetch(request).await?;
            pages.push(started.elapsed().as_secs_f64() * 1e3);
            let text = String::from_utf8_lossy(&body);
            found += text.matches("<Key>").count() as u64;
            token = between(&text, "<NextContinuationToken>", "</").map(str::to_owned);
            if token.is_none() {
                break;
            }
        }
        match found >= keys {
            true => Ok(pages),
            false => Err(Failure(format!("the listing has {found} of {keys} keys"))),
        }
    })
}

fn page_target(token: Option<&str>) -> String {
    match token {
        None => format!("/bench?list-type=2&max-keys={PAGE}"),
        Some(token) => {
            let token = utf8_percent_encode(token, NON_ALPHANUMERIC);
            format!("/bench?continuation-token={token}&list-type=2&max-keys={PAGE}")
        }
    }
}

fn between<'t>(text: &'t str, before: &str, after: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    Some(found)
}
