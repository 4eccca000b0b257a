//! The way back to a lane.

use tokio::time::Instant;

use super::Letter;
use crate::broker::link::Link;
use crate::broker::mend::SUBSTITUTE;
use crate::broker::{
    Connection, Destination, Error, Lane, Outgoing, Properties, PublishError, Settings,
};

/// Publishes dead letters to the lanes that are there; it declares none. On a connection of its own: an alarm on
/// the broker blocks it, and must not block acknowledgements.
pub struct Replay {
    link: Link,
    settings: Settings,
}

impl Replay {
    /// Connects.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let connection = Connection::open(settings, "replaying dead letters").await?;
        Ok(Self {
            link: Link::on(connection, settings),
            settings: settings.clone(),
        })
    }

    /// Publishes the same bytes under the same ids, without what was added when they died, and waits until the
    /// broker has stored them. Only after that may the letter be taken out of its queue. An id that isn't UTF-8
    /// can't be sent, and is left out.
    pub async fn publish(&self, letter: &Letter, lane: Lane) -> Result<(), PublishError> {
        let properties = &letter.properties;
        let sendable = |id: &Option<String>| id.clone().filter(|id| !id.contains(SUBSTITUTE));
        let outgoing = Outgoing {
            destination: Destination::Lane(lane),
            body: letter.body.clone(),
            properties: Properties {
                message_id: sendable(&properties.message_id),
                correlation_id: sendable(&properties.correlation_id),
                content_type: sendable(&properties.content_type),
                ..properties.handed_on()
            },
        };
        let deadline = Instant::now() + self.settings.publish_timeout;
        let publishing = self
            .link
            .publish(vec![outgoing], lane, &self.settings, deadline);
        publishing.await.into_iter().collect()
    }

    /// Closes the connection.
    pub async fn close(self) {
        self.link.finish(&self.settings).await;
    }
}
