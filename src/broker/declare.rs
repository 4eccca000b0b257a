//! Declares queues and exchanges, and says clearly what stands in the way.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ExchangeKind};

use super::error::Refusal;
use super::{Connection, Error, Lane, Settings};

/// For queues whose messages must never be dropped, whatever their consumers do: from `RabbitMQ` 4.0 on a queue
/// without a limit has one of 20, and what exceeds it is lost where there is no dead-letter exchange.
const NO_DELIVERY_LIMIT: u32 = 1_000_000_000;

/// Declares everything: any number of times, from any number of workers at once.
///
/// What exists with other arguments, or can't be declared by this user and doesn't exist either, is a lasting
/// [`Error::Topology`]. A user without the permission to configure gets along with what an operator declared.
pub async fn declare(connection: &Connection, settings: &Settings) -> Result<(), Error> {
    let Settings {
        names,
        delays,
        delivery_limit,
        ..
    } = settings;
    let mut with = Declaration {
        connection,
        channel: connection.channel().await?,
    };
    // The targets of dead-lettering come first: a missing one is tried again only minutes later.
    with.queue(&names.dead, arguments(NO_DELIVERY_LIMIT))
        .await?;
    for lane in Lane::ALL {
        with.queue(
            names.lane(lane),
            dead_lettering(arguments(*delivery_limit), Some(&names.dead)),
        )
        .await?;
    }
    for &delay in delays {
        let name = names.retry(delay);
        let mut waiting = dead_lettering(arguments(*delivery_limit), None);
        let milliseconds = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
        waiting.insert("x-message-ttl".into(), AMQPValue::LongLongInt(milliseconds));
        let ours = with.queue(&name, waiting).await?;
        // Through a fanout exchange the routing key stays free to say where the message returns to.
        let ours = with.exchange(&name, ExchangeKind::Fanout).await? && ours;
        if ours {
            with.bind(&name).await?;
        }
    }
    with.queue(&names.deletion, arguments(NO_DELIVERY_LIMIT))
        .await?;
    with.exchange(&names.events, ExchangeKind::Topic).await?;
    Ok(())
}

fn arguments(delivery_limit: u32) -> FieldTable {
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), text("quorum"));
    arguments.insert(
        "x-delivery-limit".into(),
        AMQPValue::LongLongInt(delivery_limit.into()),
    );
    arguments
}

/// At least once, which needs `reject-publish`. Through the default exchange to this queue, or to the one that the
/// message's routing key names.
fn dead_lettering(mut arguments: FieldTable, to: Option<&str>) -> FieldTable {
    arguments.insert("x-dead-letter-exchange".into(), text(""));
    arguments.insert("x-dead-letter-strategy".into(), text("at-least-once"));
    arguments.insert("x-overflow".into(), text("reject-publish"));
    if let Some(queue) = to {
        arguments.insert("x-dead-letter-routing-key".into(), text(queue));
    }
    arguments
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.into())
}

/// A short string of a name; the settings' checks bound its length.
pub(super) fn short(name: &str) -> Result<ShortString, Error> {
    ShortString::try_new(name).map_err(|_| Error::Settings(format!("name over 255 bytes: {name}")))
}

struct Declaration<'a> {
    connection: &'a Connection,
    /// A refusal closes the channel; the next request needs a new one.
    channel: Channel,
}

impl Declaration<'_> {
    /// Whether it is declared with these arguments; else it exists, and this user may not declare.
    async fn queue(&mut self, name: &str, arguments: FieldTable) -> Result<bool, Error> {
        let asked = short(name)?;
        let mut options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let declared = self
            .channel
            .queue_declare(asked.clone(), options, arguments);
        let Some(refusal) = self.tell(declared).await? else {
            return Ok(true);
        };
        self.channel = self.connection.channel().await?;
        let Refusal::Forbidden(reply) = refusal else {
            return Err(refused("queue", name, refusal));
        };
        options.passive = true;
        let found = self
            .channel
            .queue_declare(asked, options, FieldTable::default());
        self.found("queue", name, reply, found).await
    }

    /// As [`queue`](Self::queue).
    async fn exchange(&mut self, name: &str, kind: ExchangeKind) -> Result<bool, Error> {
        let asked = short(name)?;
        let mut options = ExchangeDeclareOptions {
            durable: true,
            ..ExchangeDeclareOptions::default()
        };
        let declared = self.channel.exchange_declare(
            asked.clone(),
            kind.clone(),
            options,
            FieldTable::default(),
        );
        let Some(refusal) = self.tell(declared).await? else {
            return Ok(true);
        };
        self.channel = self.connection.channel().await?;
        let Refusal::Forbidden(reply) = refusal else {
            return Err(refused("exchange", name, refusal));
        };
        options.passive = true;
        let found = self
            .channel
            .exchange_declare(asked, kind, options, FieldTable::default());
        self.found("exchange", name, reply, found).await
    }

    /// The queue to the exchange of the same name.
    async fn bind(&mut self, name: &str) -> Result<(), Error> {
        let (queue, options) = (short(name)?, QueueBindOptions::default());
        let bound = self.channel.queue_bind(
            queue.clone(),
            queue,
            "".into(),
            options,
            FieldTable::default(),
        );
        match self.tell(bound).await? {
            None => Ok(()),
            Some(refusal) => Err(refused("binding of queue", name, refusal)),
        }
    }

    async fn found<T>(
        &self,
        what: &'static str,
        name: &str,
        reply: String,
        found: impl Future<Output = lapin::Result<T>>,
    ) -> Result<bool, Error> {
        match self.tell(found).await? {
            None => {
                tracing::debug!(what, name, "exists; not declared for lack of permission");
                Ok(false)
            }
            Some(_) => Err(refused(what, name, Refusal::Forbidden(reply))),
        }
    }

    /// The refusal of a request, apart from all that may pass.
    async fn tell<T>(
        &self,
        request: impl Future<Output = lapin::Result<T>>,
    ) -> Result<Option<Refusal>, Error> {
        let mut refusal = None;
        let answer = async {
            match request.await {
                Ok(_) => Ok(()),
                Err(error) => {
                    refusal = Refusal::of(&error);
                    if refusal.is_some() {
                        Ok(())
                    } else {
                        Err(error)
                    }
                }
            }
        };
        self.connection.answer("declaring queues", answer).await?;
        Ok(refusal)
    }
}

pub(super) fn refused(what: &'static str, name: &str, refusal: Refusal) -> Error {
    let why = match refusal {
        Refusal::Different(reply) => format!(
            "exists with other arguments; let it run empty and delete it, or give another name in the settings ({reply})"
        ),
        Refusal::Forbidden(reply) => {
            format!(
                "this user may not declare it; declare it beforehand, or grant the permission ({reply})"
            )
        }
        Refusal::Missing => "does not exist".to_owned(),
    };
    Error::Topology {
        what,
        name: name.to_owned(),
        why,
    }
}
