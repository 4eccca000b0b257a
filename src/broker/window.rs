//! Messages to one destination, published a window at a time over a channel of their own.
//!
//! A window is told only when all its confirms are in. The client library gives a returned message to whichever
//! confirm comes next, and that may be one of the window's others; but it is always one of the window's, and the
//! message that was returned is found by what it holds.

use std::sync::Arc;

use futures_util::future::join_all;
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation};
use tokio::sync::{mpsc, oneshot};

use super::error::Refusal;
use super::{Connection, Error, LinkState, Outgoing, PublishError};

/// Messages of one window, at most. What comes meanwhile is the next one.
const AT_ONCE: usize = 256;

/// A message, ready to be sent, and who waits for its confirm.
pub(super) struct Job {
    pub outgoing: Outgoing,
    pub exchange: ShortString,
    pub routing_key: ShortString,
    pub properties: BasicProperties,
    pub told: oneshot::Sender<Result<(), PublishError>>,
}

type Confirmed = Result<Confirmation, lapin::Error>;

/// Publishes what comes until nobody can send any more.
pub(super) async fn run(connection: Arc<Connection>, mut jobs: mpsc::UnboundedReceiver<Job>) {
    let mut channel = None;
    let mut window = Vec::new();
    while jobs.recv_many(&mut window, AT_ONCE).await > 0 {
        // While blocked nothing is sent: it would all go out when the alarm ends, after the callers gave up.
        let mut state = connection.state();
        let is_open = state.wait_for(|state| *state != LinkState::Blocked).await;
        drop(is_open);
        window.retain(|job| !job.told.is_closed());
        let ready = match channel
            .take()
            .filter(|channel: &Channel| is_usable(channel))
        {
            Some(channel) => Ok(channel),
            None => open(&connection).await,
        };
        match ready {
            Ok(ready) => {
                if publish(&ready, std::mem::take(&mut window)).await {
                    channel = Some(ready);
                }
            }
            Err(error) => {
                for job in window.drain(..) {
                    drop(job.told.send(Err(error.clone().into())));
                }
            }
        }
    }
}

fn is_usable(channel: &Channel) -> bool {
    channel.status().connected()
}

async fn open(connection: &Connection) -> Result<Channel, Error> {
    let channel = connection.channel().await?;
    let confirm = channel.confirm_select(ConfirmSelectOptions::default());
    connection.answer("asking for confirms", confirm).await?;
    Ok(channel)
}

/// Says whether the channel is as good as before.
async fn publish(channel: &Channel, window: Vec<Job>) -> bool {
    let confirms = window.iter().map(|job| async {
        let options = BasicPublishOptions {
            mandatory: job.outgoing.destination.is_mandatory(),
            immediate: false,
        };
        let (exchange, key) = (job.exchange.clone(), job.routing_key.clone());
        let (body, properties) = (&job.outgoing.body, job.properties.clone());
        channel
            .basic_publish(exchange, key, options, body, properties)
            .await?
            .await
    });
    let mut confirmed = join_all(confirms).await;
    let returned: Vec<_> = confirmed.iter_mut().filter_map(take_returned).collect();
    let is_returned = owners(&returned, &window);
    let mut is_sound = true;
    for ((job, confirmed), is_returned) in window.into_iter().zip(confirmed).zip(is_returned) {
        let to = &job.outgoing.destination;
        let unroutable = || PublishError::Unroutable(to.to_string());
        let result = match confirmed {
            _ if is_returned => Err(unroutable()),
            Ok(Confirmation::Ack(_)) => Ok(()),
            // Not to be used again: where an operator lifts the limit of a quorum queue, the broker goes on refusing
            // what comes by a channel that it has refused before.
            Ok(Confirmation::Nack(_)) => {
                is_sound = false;
                Err(PublishError::Nacked(to.to_string()))
            }
            Ok(Confirmation::NotRequested) => {
                Err(PublishError::Invalid("the channel is not in confirm mode"))
            }
            Err(error) => Err(not_confirmed(&error, unroutable)),
        };
        drop(job.told.send(result));
    }
    is_sound
}

fn take_returned(confirmed: &mut Confirmed) -> Option<BasicReturnMessage> {
    match confirmed {
        Ok(Confirmation::Ack(returned) | Confirmation::Nack(returned)) => returned.take(),
        Ok(Confirmation::NotRequested) | Err(_) => None,
    }
}

/// Which of the window were returned. Of two that are the same in all that counts either will do. Where one that
/// was returned is none of them, it may have been any.
fn owners(returned: &[BasicReturnMessage], window: &[Job]) -> Vec<bool> {
    let mut owners = vec![false; window.len()];
    for message in returned {
        let is_it = |(at, job): (usize, &Job)| {
            let (message, sent) = (&message.delivery, &job.properties);
            !owners[at]
                && message.routing_key == job.routing_key
                && message.properties.message_id() == sent.message_id()
                && message.data == job.outgoing.body
        };
        match window.iter().enumerate().position(is_it) {
            Some(at) => owners[at] = true,
            None => return vec![true; window.len()],
        }
    }
    owners
}

fn not_confirmed(error: &lapin::Error, unroutable: impl FnOnce() -> PublishError) -> PublishError {
    match Refusal::of(error) {
        // The exchange is gone.
        Some(Refusal::Missing) => unroutable(),
        _ => Error::lost("publishing", error).into(),
    }
}
