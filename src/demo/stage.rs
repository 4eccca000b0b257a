//! The merges themselves: a worker in this process, the requests sent as upstream would, and an ear on the
//! events until each request has its outcome.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::future::try_join_all;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::ground;
use super::plan::{Plan, Planned};
use super::progress::Progress;
use super::screen::Screen;
use super::script::{Unreadable, When};
use super::tally::Tally;
use crate::broker::{
    self, Connection, Destination, Lane, Outgoing, Properties, Publisher, Subscriber, peek,
    queue_state,
};
use crate::config::Settings;
use crate::message::{self, OutcomeEvent};
use crate::store::Pool;
use crate::store::demo::is_held;
use crate::telemetry::Health;
use crate::worker;

/// Nothing heard for so long: something is wrong.
const PATIENCE: Duration = Duration::from_secs(90);

/// What came of it.
pub(super) struct Played {
    pub tally: Tally,
    /// Requests that waited for another merge at once, at most.
    pub put_off: u32,
    /// From the first request sent to the last outcome heard.
    pub took: Duration,
}

/// All that a performance needs.
pub(super) struct Stage<'a> {
    pub settings: &'a Settings,
    pub broker: &'a broker::Settings,
    pub pool: &'a Pool,
    pub connection: &'a Connection,
    pub plan: &'a Plan,
    pub screen: &'a Screen,
}

impl Stage<'_> {
    /// Runs it to the end, or until `stop`. The worker is stopped in either case.
    pub(super) async fn play(&self, stop: &CancellationToken) -> anyhow::Result<Played> {
        let curtain = stop.child_token();
        let worker = self.start_worker(&curtain).await?;
        let played = self.perform(&curtain, &worker).await;
        curtain.cancel();
        let ended = worker.await.context("the worker crashed")?;
        let played = played?;
        ended.context("the worker could not work")?;
        Ok(played)
    }

    /// The same loops as `user-merge worker`.
    async fn start_worker(
        &self,
        stop: &CancellationToken,
    ) -> anyhow::Result<JoinHandle<Result<(), worker::Error>>> {
        let health = Health::expecting(worker::conditions());
        let worker = tokio::spawn(worker::run(
            self.settings.clone(),
            self.broker.clone(),
            crate::app::pool(self.settings)?,
            health.clone(),
            stop.clone(),
        ));
        while !health.missing().await.is_empty() && !worker.is_finished() && !stop.is_cancelled() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(worker)
    }

    async fn perform(
        &self,
        stop: &CancellationToken,
        worker: &JoinHandle<Result<(), worker::Error>>,
    ) -> anyhow::Result<Played> {
        let plan = self.plan;
        let mut events = listen(Subscriber::open(self.connection, &self.broker.names).await?);
        let publisher = Publisher::new(self.broker.clone(), "requests");
        let mut tally = Tally::new(plan);
        let total = plan.requests.len() + plan.unreadable.len();
        let mut progress = Progress::new(self.screen, total);
        let dead = &self.broker.names.dead;
        let waiting = ground::waiting(&self.broker.names, self.settings);
        let (mut put_off, mut unreadable, mut last) = (0, 0, Instant::now());

        let began = Instant::now();
        self.open(&publisher).await?;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !tally.is_complete() || unreadable < plan.unreadable.len() {
            tokio::select! {
                event = events.recv() => {
                    let body = event.context("the broker closed the queue of events")??;
                    last = Instant::now();
                    let Ok(event) = serde_json::from_slice::<OutcomeEvent>(&body) else { continue };
                    if let Some(place) = tally.heard(event) {
                        send(&publisher, plan, |planned| planned.when == When::After(place)).await?;
                    }
                }
                _ = ticks.tick() => {
                    put_off = put_off.max(queue_state(self.connection, &waiting).await?.messages);
                    if unreadable < plan.unreadable.len() && queue_state(self.connection, dead).await?.messages > 0 {
                        unreadable = self.dead_letters().await?.len();
                    }
                }
                () = stop.cancelled() => bail!("interrupted: what is unsettled stays in its queue"),
            }
            progress.show(tally.heard_count() + unreadable, put_off);
            if worker.is_finished() {
                bail!("the worker ended before the merges did");
            }
            if last.elapsed() > PATIENCE {
                let missing = plan.requests.len() - tally.heard_count();
                bail!(
                    "{missing} requests have no outcome, and nothing has happened for {PATIENCE:?}"
                );
            }
        }
        let took = began.elapsed();
        progress.finish();
        publisher.close().await;
        Ok(Played {
            tally,
            put_off,
            took,
        })
    }

    /// The large merge, the one that has to wait for it, and then all that can be sent at once.
    async fn open(&self, publisher: &Publisher) -> anyhow::Result<()> {
        let plan = self.plan;
        send(publisher, plan, |planned| planned.when == When::First).await?;
        if let Some(first) = plan
            .requests
            .iter()
            .find(|planned| planned.when == When::First)
        {
            let account = first.request.account_id.get();
            let key = first.request.idempotency_key.as_str();
            let mut connection = self.pool.acquire().await?;
            let asked = Instant::now();
            while !is_held(&mut connection, account, key).await?
                && asked.elapsed() < Duration::from_secs(3)
            {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        }
        send(publisher, plan, |planned| planned.when == When::Meanwhile).await?;
        let unreadable = plan
            .unreadable
            .iter()
            .map(|message| publisher.publish(bytes(message)));
        try_join_all(unreadable)
            .await
            .context("a request is not known to be stored")?;
        send(publisher, plan, |planned| planned.when == When::Now).await
    }

    /// This run's messages in the dead-letter queue: id, reason and detail. They stay there.
    pub(super) async fn dead_letters(&self) -> anyhow::Result<Vec<Properties>> {
        let seen = peek(self.connection, &self.broker.names.dead).await?;
        let ours = |properties: &Properties| {
            let id = properties.message_id.as_deref();
            self.plan
                .unreadable
                .iter()
                .any(|message| Some(&*message.message_id) == id)
        };
        let mut letters: Vec<_> = seen
            .into_iter()
            .map(|message| message.properties)
            .filter(ours)
            .collect();
        letters.sort_by(|one, other| one.message_id.cmp(&other.message_id));
        Ok(letters)
    }
}

/// In a task of its own: a wait for the next event that is given up could lose one.
fn listen(mut events: Subscriber) -> mpsc::Receiver<Result<Vec<u8>, broker::Error>> {
    let (sender, receiver) = mpsc::channel(100);
    tokio::spawn(async move {
        while let Some(event) = events.next().await {
            if sender.send(event).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// Sends those requests, and waits until the broker has stored them all.
async fn send(
    publisher: &Publisher,
    plan: &Plan,
    which: impl Fn(&Planned) -> bool,
) -> anyhow::Result<()> {
    let chosen = plan.requests.iter().filter(|planned| which(planned));
    let confirms = chosen.map(|planned| {
        publisher.publish(Outgoing {
            destination: Destination::Lane(planned.lane),
            body: message::request::encode(&planned.request),
            properties: Properties {
                message_id: Some(planned.request.idempotency_key.to_string()),
                ..Properties::default()
            },
        })
    });
    try_join_all(confirms)
        .await
        .context("a request is not known to be stored")?;
    Ok(())
}

fn bytes(message: &Unreadable) -> Outgoing {
    Outgoing {
        destination: Destination::Lane(Lane::Bulk),
        body: message.body.clone().into_bytes(),
        properties: Properties {
            message_id: Some(message.message_id.clone()),
            ..Properties::default()
        },
    }
}
