//! The way to `RabbitMQ`: queues, consumers, confirmed publishes. Everything that knows lapin is in here, and no
//! type of lapin's leaves it.
//!
//! Whatever goes wrong with a connection, a channel or a consumer ends it: nothing in this room recovers by
//! itself. The caller drops the [`Session`], waits, and opens the next one; a [`Publisher`] does so on the next
//! publish. lapin's own recovery stays off, because a recovered consumer can be silent for ever.
//!
//! A limit that this room can't remove: lapin 4.12 decodes headers by recursion without a bound, on its own thread,
//! before we see them. Some hundred nested arrays overflow the usual 2 MiB stack and abort the process; with
//! `RUST_MIN_STACK=536870912` in the environment (address space, not memory) the deepest that a frame can hold pass.
//! lapin also logs returned messages with their bodies, as a warning: its target `lapin::returned_messages` must be off.

mod connection;
mod consumer;
mod dead_letters;
mod declare;
mod delivery;
mod error;
mod failover;
mod glance;
mod headers;
mod link;
mod mend;
mod outgoing;
mod places;
mod properties;
mod publisher;
mod session;
mod settings;
mod settling;
mod subscriber;
mod tags;
mod tcp;
mod topology;
mod window;

pub use crate::config::Names;
pub use connection::{Connection, LinkState};
pub use consumer::Consumer;
pub use dead_letters::{DeadLetters, Death, Letter, Replay};
pub use declare::declare;
pub use delivery::Delivery;
pub use error::{Error, PublishError};
pub use glance::{MAX_SEEN, QueueState, Seen, peek, queue_state};
pub use outgoing::{Destination, Outgoing};
pub use properties::{MAX_SHORT_BYTES, Properties};
pub use publisher::Publisher;
pub use session::Session;
pub use settings::Settings;
pub use settling::Settled;
pub use subscriber::Subscriber;
pub use topology::{Lane, UnknownLane};

/// For the fuzz target of properties (`fuzz/`) and nobody else: lapin's types stay in this room.
#[cfg(fuzzing)]
pub mod fuzzing {
    use super::Properties;

    /// What a worker reads of a message.
    #[must_use]
    pub fn read(amqp: &lapin::BasicProperties) -> Properties {
        Properties::from_amqp(amqp)
    }

    /// What it sends on with a copy.
    pub fn write(properties: &Properties) -> Result<lapin::BasicProperties, &'static str> {
        properties.to_amqp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every future of the room can be spawned; the compiler checks it.
    #[allow(dead_code)]
    fn futures_are_send(
        publisher: &Publisher,
        outgoing: Outgoing,
        settings: &Settings,
        delivery: &Delivery,
    ) {
        fn send<T: Send>(_: T) {}
        send(publisher.publish(outgoing));
        send(publisher.close());
        send(Session::open(settings, Lane::Bulk, 1));
        send(delivery.ack());
    }
}
