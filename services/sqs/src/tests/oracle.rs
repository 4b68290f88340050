//! Random histories against a model so simple that it is obviously right.

use gureum_model_sqs::types as t;
use proptest::prelude::*;

use super::{Bench, message, receive};

#[derive(Clone, Debug)]
enum Step {
    Send {
        group: u8,
        delay: u8,
    },
    Receive {
        most: i32,
        visibility: i32,
    },
    /// Of what was received, counted from the latest.
    Delete(usize),
    Hide(usize, i32),
    Pass(u64),
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..3u8, 0..4u8).prop_map(|(group, delay)| Step::Send { group, delay }),
        4 => (1..4i32, 0..6i32).prop_map(|(most, visibility)| Step::Receive { most, visibility }),
        2 => (0..4usize).prop_map(Step::Delete),
        1 => (0..4usize, 0..6i32).prop_map(|(which, seconds)| Step::Hide(which, seconds)),
        3 => (1..4_000u64).prop_map(Step::Pass),
        1 => Just(Step::Restart),
    ]
}

/// A message as the model knows it; times in ms.
#[derive(Clone, Debug)]
struct Known {
    body: String,
    group: u8,
    visible: i64,
    receives: u32,
}

/// A queue as a list in the order of sends.
struct Model {
    fifo: bool,
    messages: Vec<Known>,
}

impl Model {
    fn in_flight(&self, known: &Known, now: i64) -> bool {
        known.receives > 0 && known.visible > now
    }

    /// The positions that a receive must bring, in order.
    fn next(&self, most: usize, now: i64) -> Vec<usize> {
        let all = || 0..self.messages.len();
        if !self.fifo {
            let visible = all().filter(|at| self.messages[*at].visible <= now);
            return visible.take(most).collect();
        }
        let mut taken = Vec::new();
        let mut done = Vec::new();
        for head in all() {
            let group = self.messages[head].group;
            if done.contains(&group) {
                continue;
            }
            done.push(group);
            let members: Vec<usize> = all()
                .filter(|at| self.messages[*at].group == group)
                .collect();
            let locked = members
                .iter()
                .any(|at| self.in_flight(&self.messages[*at], now));
            if !locked {
                let ready = members
                    .into_iter()
                    .take_while(|at| self.messages[*at].visible <= now);
                taken.extend(ready);
            }
        }
        taken.truncate(most);
        taken
    }
}

struct Run {
    bench: Bench,
    url: String,
    model: Model,
    /// Body and number of the receive, beside what the client got.
    received: Vec<(String, u32, t::Message)>,
    sent: usize,
}

impl Run {
    async fn step(&mut self, step: Step) {
        let now = self.bench.clock.now();
        match step {
            Step::Send { group, delay } => self.send(group, delay, now).await,
            Step::Receive { most, visibility } => self.receive(most, visibility, now).await,
            Step::Delete(which) => self.delete(which, now).await,
            Step::Hide(which, seconds) => self.hide(which, seconds, now).await,
            Step::Pass(millis) => self.bench.pass_ms(millis),
            Step::Restart => {}
        }
    }

    async fn send(&mut self, group: u8, delay: u8, now: i64) {
        let body = self.sent.to_string();
        self.sent += 1;
        let delay = if self.model.fifo { 0 } else { delay };
        let input = t::SendMessageRequest {
            message_group_id: Some(group.to_string()),
            delay_seconds: Some(delay.into()),
            ..message(&self.url, &body)
        };
        self.bench.try_send(input).await.expect("sent");
        self.model.messages.push(Known {
            body,
            group,
            visible: now + i64::from(delay) * 1000,
            receives: 0,
        });
    }

    async fn receive(&mut self, most: i32, visibility: i32, now: i64) {
        let input = t::ReceiveMessageRequest {
            max_number_of_messages: Some(most),
            visibility_timeout: Some(visibility),
            ..receive(&self.url)
        };
        let got = self.bench.receive_with(input).await.expect("received");
        let expected = self.model.next(most as usize, now);
        let mut bodies = Vec::new();
        for at in expected {
            let known = &mut self.model.messages[at];
            known.receives += 1;
            known.visible = now + i64::from(visibility) * 1000;
            bodies.push((known.body.clone(), known.receives));
        }
        let found: Vec<_> = got
            .iter()
            .map(|m| {
                let count = super::system(m, "ApproximateReceiveCount");
                (m.body.clone().expect("body"), count.parse().expect("count"))
            })
            .collect();
        assert_eq!(found, bodies);
        for ((body, receives), message) in bodies.into_iter().zip(got) {
            self.received.push((body, receives, message));
        }
    }

    /// What was received, the message as the model has it, and whether the receipt is its newest.
    fn pick(&self, which: usize) -> Option<(t::Message, Option<usize>, bool)> {
        let at = self.received.len().checked_sub(which + 1)?;
        let (body, receives, message) = &self.received[at];
        let at = self.model.messages.iter().position(|m| m.body == *body);
        let newest = at.is_some_and(|at| self.model.messages[at].receives == *receives);
        Some((message.clone(), at, newest))
    }

    async fn delete(&mut self, which: usize, now: i64) {
        let Some((message, at, newest)) = self.pick(which) else {
            return;
        };
        let deleted = self.bench.delete(&self.url, &message).await;
        let Some(at) = at else {
            return deleted.expect("deleting what is gone is fine");
        };
        let in_flight = self.model.in_flight(&self.model.messages[at], now);
        let refused = self.model.fifo && !(newest && in_flight);
        assert_eq!(deleted.is_err(), refused);
        if newest && !refused {
            self.model.messages.remove(at);
        }
    }

    async fn hide(&mut self, which: usize, seconds: i32, now: i64) {
        let Some((message, at, newest)) = self.pick(which) else {
            return;
        };
        let hidden = self.bench.hide(&self.url, &message, seconds).await;
        let good = at.filter(|at| newest && self.model.in_flight(&self.model.messages[*at], now));
        assert_eq!(hidden.is_ok(), good.is_some());
        if let Some(at) = good {
            self.model.messages[at].visible = now + i64::from(seconds) * 1000;
        }
    }

    async fn check_counts(&self) {
        let now = self.bench.clock.now();
        let count = |keep: &dyn Fn(&Known) -> bool| {
            let all = self.model.messages.iter();
            all.filter(|known| keep(known)).count().to_string()
        };
        for (name, expected) in [
            ("", count(&|known| known.visible <= now)),
            (
                "NotVisible",
                count(&|known| self.model.in_flight(known, now)),
            ),
            (
                "Delayed",
                count(&|known| known.receives == 0 && known.visible > now),
            ),
        ] {
            let name = format!("ApproximateNumberOfMessages{name}");
            assert_eq!(
                self.bench.attribute(&self.url, &name).await,
                expected,
                "{name}"
            );
        }
    }
}

async fn run(fifo: bool, steps: Vec<Step>) {
    let bench = Bench::new().await;
    let url = if fifo {
        let attributes = [("FifoQueue", "true"), ("ContentBasedDeduplication", "true")];
        bench.queue("q.fifo", &attributes).await
    } else {
        bench.queue("q", &[]).await
    };
    let model = Model {
        fifo,
        messages: Vec::new(),
    };
    let mut run = Run {
        bench,
        url,
        model,
        received: Vec::new(),
        sent: 0,
    };
    for step in steps {
        if matches!(step, Step::Restart) {
            run.bench = run.bench.restart().await;
        } else {
            run.step(step).await;
        }
        run.check_counts().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_history_is_the_models(fifo: bool, steps in prop::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("runtime");
        runtime.block_on(run(fifo, steps));
    }
}
