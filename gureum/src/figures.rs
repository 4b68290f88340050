//! `metrics.instances`: measures what instances do, every few seconds, and writes it down every five
//! minutes, or every minute where that is wanted. Figures are named as CloudWatch names them.
//!
//! <https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/viewing_metrics_with_cloudwatch.html>

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use gureum_ec2::{Ec2, Told};
use gureum_kit::reconcile::RunError;
use gureum_kit::{Clock, Outcome, Reconciler};
use gureum_metrics::{Figures, MINUTE, Measured, Metrics};
use gureum_schema::Timestamp;
use serde_json::{Value, json};

use crate::machines::Host;
use crate::readings::Reading;

const PERIOD: Duration = Duration::from_secs(5);
/// Between two points of basic monitoring, in milliseconds; those of detailed monitoring are a minute
/// apart.
const BASIC: i64 = 5 * MINUTE;
/// Rates over less than this, in milliseconds, say nothing.
const LEAST: i64 = 1000;
/// How often old points are looked for, and how far back they are shown; in milliseconds.
const TIDY: i64 = 3_600_000;
const SHOWN: i64 = 15 * MINUTE;

pub(crate) struct Gauge {
    pub(crate) metrics: Metrics,
    host: Arc<Host>,
    ec2: Arc<Ec2>,
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tracks: BTreeMap<String, Track>,
    /// When all were read last.
    read: Option<i64>,
    tidied: i64,
}

/// What was read of one instance, and when.
struct Track {
    /// When its checks were last written down.
    checked: i64,
    /// When its current period began for us.
    mark: (i64, Reading),
    last: (i64, Reading),
    /// What it did between the last two readings, and how long that was in milliseconds.
    live: (i64, Figures),
}

impl Gauge {
    pub(crate) fn new(metrics: Metrics, host: Arc<Host>, ec2: Arc<Ec2>, clock: Clock) -> Arc<Self> {
        Arc::new(Self {
            metrics,
            host,
            ec2,
            clock,
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an instance does now and did in the last minutes.
    pub(crate) fn shown(&self, told: &Told) -> Value {
        let now = self.clock.now();
        let span = (now - SHOWN, now);
        let series = self.metrics.read(told.account, &told.id, span);
        let series = series.unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot read the figures");
            Default::default()
        });
        let mut shown = serde_json::Map::new();
        for (name, points) in series {
            let point =
                |it: &gureum_metrics::Point| json!([Timestamp(it.at).to_string(), it.value]);
            shown.insert(name, points.iter().map(point).collect());
        }
        let live = self.state().tracks.get(&told.id).map(|track| {
            let (span, figures) = &track.live;
            json!({ "seconds": *span as f64 / 1000.0, "figures": object(figures) })
        });
        json!({ "points": shown, "now": live })
    }

    /// How much of its processor time an instance has used lately, in percent.
    pub(crate) fn load(&self, id: &str) -> Option<f64> {
        let state = self.state();
        let (_, figures) = &state.tracks.get(id)?.live;
        let cpu = figures.iter().find(|(name, _)| name == CPU)?;
        Some(cpu.1)
    }

    async fn measure(&self) -> Result<(), RunError> {
        let told = self.ec2.instances()?;
        let readings = match told.iter().any(|told| told.state == "running") {
            true => self.host.readings().await?,
            false => Default::default(),
        };
        let now = self.clock.now();
        let mut written = Vec::new();
        {
            let mut state = self.state();
            let mut tracks = std::mem::take(&mut state.tracks);
            // Who was not there at the last look has begun from nothing since; who was there before
            // this process is compared with now.
            let before = state.read.replace(now);
            for told in told.iter().filter(|told| told.state == "running") {
                let Some(reading) = readings.of(&told.id, &told.interfaces) else {
                    continue;
                };
                let track = tracks.remove(&told.id);
                let mut track = track.unwrap_or_else(|| match before {
                    Some(then) => Track::new(then, Reading::default()),
                    None => Track::new(now, reading),
                });
                let period = if told.detailed { MINUTE } else { BASIC };
                let points = track.read((now, reading), period, told.responsive);
                written.extend(points.into_iter().map(|(at, figures)| Measured {
                    account: told.account,
                    subject: told.id.clone(),
                    at,
                    figures,
                }));
                state.tracks.insert(told.id.clone(), track);
            }
        }
        self.metrics.write(&written).await?;
        let tidied = std::mem::replace(&mut self.state().tidied, now);
        match now - tidied >= TIDY {
            true => Ok(self.metrics.forget(now).await?),
            false => {
                self.state().tidied = tidied;
                Ok(())
            }
        }
    }
}

fn object(figures: &Figures) -> Value {
    let pairs = figures
        .iter()
        .map(|(name, value)| (name.clone(), json!(value)));
    Value::Object(pairs.collect())
}

impl Track {
    fn new(now: i64, reading: Reading) -> Self {
        Self {
            checked: now,
            mark: (now, reading),
            last: (now, reading),
            live: (0, Vec::new()),
        }
    }

    /// Takes a new reading. What was done in a period that has ended by it, and how the checks
    /// went in a minute that has, each with when that began.
    fn read(
        &mut self,
        reading: (i64, Reading),
        period: i64,
        responsive: bool,
    ) -> Vec<(i64, Figures)> {
        let now = reading.0;
        if now - self.last.0 >= LEAST {
            let mut live = work(self.last, reading);
            live.extend(checks(responsive));
            self.live = (now - self.last.0, live);
            self.last = reading;
        }
        let mut points = Vec::new();
        if let Some(began) = ended(self.mark.0, now, period) {
            points.push((began, work(self.mark, reading)));
            self.mark = reading;
        }
        if let Some(began) = ended(self.checked, now, MINUTE) {
            points.push((began, checks(responsive)));
            self.checked = now;
        }
        points
    }
}

/// When the last whole period began, if one has ended since `mark`.
fn ended(mark: i64, now: i64, period: i64) -> Option<i64> {
    let (before, after) = (mark.div_euclid(period), now.div_euclid(period));
    (after > before && now - mark >= LEAST).then_some((after - 1) * period)
}

const CPU: &str = "CPUUtilization";

/// What an instance did between two readings: percent of its own quota, bytes, packets.
fn work((then, before): (i64, Reading), (now, after): (i64, Reading)) -> Figures {
    let mut figures = Vec::new();
    let mut put = |name: &str, value: f64| figures.push((name.to_owned(), value));
    // Counters begin anew when an instance boots.
    let done = |before: u64, after: u64| after.checked_sub(before).unwrap_or(after) as f64;
    let elapsed = (now - then) as f64 / 1000.0;
    if let (Some(usage), true) = (after.usage, elapsed > 0.0) {
        let old = before.usage.unwrap_or_default();
        if usage.allotted > 0 {
            let might = usage.allotted as f64 * elapsed;
            put(CPU, (done(old.cpu, usage.cpu) / might * 100.0).min(100.0));
        }
        put("DiskReadBytes", done(old.read, usage.read));
        put("DiskWriteBytes", done(old.written, usage.written));
    }
    let (old, new) = (before.traffic, after.traffic);
    put("NetworkIn", done(old.bytes_in, new.bytes_in));
    put("NetworkOut", done(old.bytes_out, new.bytes_out));
    put("NetworkPacketsIn", done(old.packets_in, new.packets_in));
    put("NetworkPacketsOut", done(old.packets_out, new.packets_out));
    figures
}

/// Whether it fails its checks.
fn checks(responsive: bool) -> Figures {
    let failed = f64::from(u8::from(!responsive));
    let checks = [
        ("StatusCheckFailed", failed),
        ("StatusCheckFailed_Instance", failed),
        ("StatusCheckFailed_System", 0.0),
    ];
    checks.map(|(name, value)| (name.to_owned(), value)).into()
}

#[async_trait]
impl Reconciler for Gauge {
    fn name(&self) -> &'static str {
        "metrics.instances"
    }

    fn period(&self) -> Duration {
        PERIOD
    }

    async fn run(&self) -> Result<Outcome, RunError> {
        self.measure().await?;
        Ok(Outcome::Settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::readings::Traffic;
    use gureum_compute::Usage;

    fn reading(cpu: u64, bytes_in: u64) -> Reading {
        Reading {
            usage: Some(Usage {
                cpu,
                allotted: 100_000_000,
                ..Usage::default()
            }),
            traffic: Traffic {
                bytes_in,
                ..Traffic::default()
            },
        }
    }

    fn value(figures: &Figures, name: &str) -> f64 {
        figures.iter().find(|(it, _)| it == name).expect(name).1
    }

    #[test]
    fn figures_are_against_the_own_quota() {
        // A tenth of a core for five seconds is half a second; half of that was used.
        let seen = work((0, reading(0, 10)), (5000, reading(250_000_000, 30)));
        assert_eq!(value(&seen, CPU), 50.0);
        assert_eq!(value(&seen, "NetworkIn"), 20.0);
        // Counters that went back.
        let seen = work(
            (0, reading(900_000_000, 900)),
            (5000, reading(50_000_000, 7)),
        );
        assert_eq!((value(&seen, CPU), value(&seen, "NetworkIn")), (10.0, 7.0));
    }

    #[test]
    fn periods_end_with_the_clock() {
        let mut track = Track::new(MINUTE - 20_000, reading(0, 0));
        let mut read = |at, bytes, detailed| {
            let period = if detailed { MINUTE } else { BASIC };
            let points = track.read((at, reading(0, bytes)), period, false);
            let live = value(&track.live.1, "NetworkIn");
            assert_eq!(value(&track.live.1, "StatusCheckFailed"), 1.0);
            (points, live)
        };
        assert_eq!(read(MINUTE - 10_000, 1, true), (Vec::new(), 1.0));
        let (points, live) = read(MINUTE + 3000, 5, true);
        assert_eq!(live, 4.0);
        assert_eq!(points.iter().map(|it| it.0).collect::<Vec<_>>(), [0, 0]);
        assert_eq!(value(&points[0].1, "NetworkIn"), 5.0);
        assert_eq!(points[1].1, checks(false));
        assert_eq!(read(MINUTE + 8000, 6, true).0, Vec::new());
        // What was done since the last point is in the next one, however far that is away.
        assert_eq!(read(2 * MINUTE, 7, false).0, [(MINUTE, checks(false))]);
        let (points, _) = read(BASIC, 9, false);
        assert_eq!((points[0].0, value(&points[0].1, "NetworkIn")), (0, 4.0));
        assert_eq!(points[1], (BASIC - MINUTE, checks(false)));
    }
}
