//! What a request costs: `GetCallerIdentity` against a server that only says "OK".

use super::{Setting, ratio};
use crate::client::{Connection, Requests};
use crate::failure::Result;
use crate::load::{Load, Round, Turn, run};
use crate::report::{Row, number, percent, steps};
use crate::server::Server;
use crate::stats::median;

const CONNECTIONS: usize = 32;

pub(crate) fn measure(setting: &Setting) -> Result<Vec<Row>> {
    let cloud = setting.cloud("sts")?;
    let bare = Server::bare()?;
    let (mut ours, mut theirs) = setting.duel(
        |_| round(setting.load(&cloud, CONNECTIONS)),
        |_| round(setting.load(&bare, CONNECTIONS)),
    )?;
    let share = ratio(&ours, &theirs, Round::per_second, Round::per_second);
    let cpu = ratio(&ours, &theirs, Round::server_micros, Round::server_micros);
    let client = median(ours.iter().chain(&theirs).map(Round::client_micros));
    let micros = |rounds: &[Round]| {
        let median = median(rounds.iter().map(Round::server_micros));
        format!("{} µs", number(median))
    };
    let cost = Row::told(
        "— its CPU time in the server",
        micros(&ours),
        format!(
            "{}; the client takes {} µs",
            micros(&theirs),
            number(client)
        ),
        percent(cpu),
    );
    let rate = Row::share(
        "GetCallerIdentity, 32 connections, against bare hyper",
        steps(&mut ours),
        steps(&mut theirs),
        share,
        0.5,
    );
    Ok(vec![rate, cost])
}

/// Both servers get the same signed bytes; signed once per round, because the client's work must
/// not take the server's processor. The server verifies each anew.
fn round(load: Load) -> Result<Round> {
    let signed = Requests::to(load.address)?.who_am_i()?;
    run(load, &async |connection: &mut Connection, _: Turn| {
        connection.drain(signed.clone()).await
    })
}
