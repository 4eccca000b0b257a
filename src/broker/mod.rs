//! The way to `RabbitMQ`: queues, consumers, confirmed publishes. Everything that knows lapin is in here, and no
//! type of lapin's leaves it.
//!
//! Whatever goes wrong with a connection, a channel or a consumer ends it: nothing in this room recovers by
//! itself. The caller drops the [`Session`], waits, and opens the next one; a [`Publisher`] does so on the next
//! publish. lapin's own recovery stays off, because a recovered consumer can be silent for ever.

mod connection;
mod consumer;
mod declare;
mod delivery;
mod error;
mod link;
mod outgoing;
mod properties;
mod publisher;
mod session;
mod settings;
mod subscriber;
mod tcp;
mod topology;

pub use connection::{Connection, LinkState};
pub use consumer::Consumer;
pub use declare::{DELIVERY_LIMIT, declare};
pub use delivery::{Delivery, Settled};
pub use error::{Error, PublishError};
pub use outgoing::{Destination, Outgoing};
pub use properties::{MAX_SHORT_BYTES, Properties};
pub use publisher::Publisher;
pub use session::Session;
pub use settings::Settings;
pub use subscriber::Subscriber;
pub use topology::{Lane, Names, UnknownLane};
