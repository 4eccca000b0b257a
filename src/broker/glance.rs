//! A look at queues that takes nothing out of them: what the demo shows and checks.

use std::time::Duration;

use futures_util::StreamExt as _;
use lapin::options::{BasicConsumeOptions, BasicQosOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::time::timeout;

use super::declare::short;
use super::{Connection, Error, Properties};

/// The most messages that one look shows.
pub const MAX_SEEN: u16 = 50_000;
/// How long a message that is there may take to come.
const PATIENCE: Duration = Duration::from_secs(5);

/// Who and what is at a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QueueState {
    /// Messages that nobody has taken.
    pub messages: u32,
    /// Those who would take them.
    pub consumers: u32,
}

/// A message that stays where it is. No `Debug`: its body doesn't belong into logs.
pub struct Seen {
    /// The body, as the sender wrote it.
    pub body: Vec<u8>,
    /// Ids and headers.
    pub properties: Properties,
}

/// Counts what is at a queue. The queue must exist.
pub async fn queue_state(connection: &Connection, queue: &str) -> Result<QueueState, Error> {
    let channel = connection.channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let asked = channel.queue_declare(short(queue)?, options, FieldTable::default());
    let found = connection.answer("asking for a queue", asked).await?;
    let state = QueueState {
        messages: found.message_count(),
        consumers: found.consumer_count(),
    };
    close(connection, &channel).await?;
    Ok(state)
}

/// Reads the messages of a queue, [`MAX_SEEN`] at most, and puts them back: each is delivered once more than
/// it was, which counts towards a delivery limit. Not for a queue that others consume: what is held here for a
/// moment, they don't get.
pub async fn peek(connection: &Connection, queue: &str) -> Result<Vec<Seen>, Error> {
    let there = queue_state(connection, queue).await?.messages;
    let there = u16::try_from(there).unwrap_or(MAX_SEEN).min(MAX_SEEN);
    let mut seen = Vec::with_capacity(there.into());
    if there == 0 {
        return Ok(seen);
    }
    let channel = connection.channel().await?;
    let qos = channel.basic_qos(there, BasicQosOptions::default());
    connection.answer("setting the prefetch", qos).await?;
    let consume = channel.basic_consume(
        short(queue)?,
        "".into(),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let mut stream = connection.answer("looking at a queue", consume).await?;
    while seen.len() < usize::from(there) {
        // Fewer than were counted: somebody took them meanwhile.
        let Ok(Some(delivery)) = timeout(PATIENCE, stream.next()).await else {
            break;
        };
        let delivery = delivery.map_err(|error| Error::lost("looking at a queue", &error))?;
        seen.push(Seen {
            properties: Properties::from_amqp(&delivery.properties),
            body: delivery.data,
        });
    }
    // Unacknowledged messages go back with their channel.
    close(connection, &channel).await?;
    Ok(seen)
}

async fn close(connection: &Connection, channel: &lapin::Channel) -> Result<(), Error> {
    let closing = channel.close(200, "seen".into());
    connection.answer("closing a channel", closing).await
}
