//! Listens to outcomes for a while: what `enqueue --wait` waits for.

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;

use super::declare::short;
use super::{Connection, Error, Names};

/// All outcome events from the moment of opening on. Its queue belongs to the connection and goes with it: after an
/// error, events may be missing, and the truth is in the database.
pub struct Subscriber {
    // Held, because the consumer ends with its channel.
    _channel: lapin::Channel,
    stream: lapin::Consumer,
}

impl Subscriber {
    /// Declares and binds the queue: events published after this returned are heard. The exchange must exist: see
    /// [`declare`](super::declare).
    pub async fn open(connection: &Connection, names: &Names) -> Result<Self, Error> {
        let channel = connection.channel().await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let declare = channel.queue_declare("".into(), options, FieldTable::default());
        let queue = connection
            .answer("declaring a queue for events", declare)
            .await?
            .name()
            .clone();
        let (exchange, options) = (short(&names.events)?, QueueBindOptions::default());
        let bind = channel.queue_bind(
            queue.clone(),
            exchange,
            "merge.*".into(),
            options,
            FieldTable::default(),
        );
        connection
            .answer("binding a queue for events", bind)
            .await?;
        let qos = channel.basic_qos(100, BasicQosOptions::default());
        connection.answer("setting the prefetch", qos).await?;
        let options = BasicConsumeOptions {
            exclusive: true,
            ..BasicConsumeOptions::default()
        };
        let consume = channel.basic_consume(queue, "".into(), options, FieldTable::default());
        let stream = connection.answer("listening to events", consume).await?;
        Ok(Self {
            _channel: channel,
            stream,
        })
    }

    /// The next event's body; `None` once the broker closed the queue.
    pub async fn next(&mut self) -> Option<Result<Vec<u8>, Error>> {
        let delivery = match self.stream.next().await? {
            Ok(delivery) => delivery,
            Err(error) => return Some(Err(Error::lost("listening to events", &error))),
        };
        // Only frees the prefetch; a failure shows in the stream.
        drop(delivery.acker.ack(BasicAckOptions::default()).await);
        Some(Ok(delivery.data))
    }
}
