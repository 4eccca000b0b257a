//! What commits have just promised, on its way from the lanes to the relay. There is room for so much of a lane's, and it
//! begins nothing new while a quarter of that is taken: otherwise a lane that merges faster than the broker confirms would
//! leave ever more in the outbox, to be published a lease later. Each lane has a room of its own: what a backfill promises
//! keeps nobody interactive from beginning.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::sleep;

use crate::broker::{Lane, LinkState};
use crate::store::outbox::Promised;

/// A lane's messages in memory that are not confirmed, at most; what finds no room waits in the outbox.
const WAITING: usize = 2_048;
/// With so many of them the lane begins nothing new. What is at work by then has the rest.
const BUSY: usize = WAITING / 4;

/// Where a merge leaves what its commit has promised.
pub(super) struct HandOver {
    interactive: Room,
    bulk: Room,
}

/// A lane's.
struct Room {
    lane: Lane,
    messages: mpsc::UnboundedSender<(Promised, Place)>,
    taken: Arc<watch::Sender<usize>>,
}

/// One message's place in its lane's room, until it is dropped.
pub(super) struct Place {
    pub lane: Lane,
    taken: Arc<watch::Sender<usize>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.taken.send_if_modified(|taken| {
            *taken -= 1;
            *taken + 1 == BUSY
        });
    }
}

/// Where the relay finds it: what somebody waits for first.
pub(super) struct HandedOver {
    interactive: mpsc::UnboundedReceiver<(Promised, Place)>,
    bulk: mpsc::UnboundedReceiver<(Promised, Place)>,
}

pub(super) fn channel() -> (HandOver, HandedOver) {
    let (interactive, first) = Room::new(Lane::Interactive);
    let (bulk, second) = Room::new(Lane::Bulk);
    let handed_over = HandedOver {
        interactive: first,
        bulk: second,
    };
    (HandOver { interactive, bulk }, handed_over)
}

impl HandedOver {
    /// The next message; `None` when nobody can hand any over. Cancel-safe.
    pub(super) async fn recv(&mut self) -> Option<(Promised, Place)> {
        tokio::select! {
            biased;
            Some(message) = self.interactive.recv() => Some(message),
            message = self.bulk.recv() => message,
        }
    }

    /// The next one that is there already.
    pub(super) fn try_recv(&mut self) -> Option<(Promised, Place)> {
        let first = self.interactive.try_recv();
        first.or_else(|_| self.bulk.try_recv()).ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.interactive.is_empty() && self.bulk.is_empty()
    }
}

impl HandOver {
    const fn of(&self, lane: Lane) -> &Room {
        match lane {
            Lane::Interactive => &self.interactive,
            Lane::Bulk => &self.bulk,
        }
    }

    /// Never waits: a message that finds no room stays in the outbox, whence the relay takes it.
    pub(super) fn promised(&self, lane: Lane, promised: Vec<Promised>) {
        let room = self.of(lane);
        for message in promised {
            let Some(place) = room.place() else { return };
            drop(room.messages.send((message, place)));
        }
    }

    /// Waits until this lane may begin something new. But where the broker is away there will be no room: what is
    /// promised waits in the outbox then, and nobody waits here; nor for longer than a publish may take.
    pub(super) async fn room(
        &self,
        lane: Lane,
        mut link: watch::Receiver<LinkState>,
        patience: Duration,
    ) {
        let mut taken = self.of(lane).taken.subscribe();
        tokio::select! {
            biased;
            _ = taken.wait_for(|taken| *taken < BUSY) => {}
            _ = link.wait_for(|link| *link != LinkState::Up) => {}
            () = sleep(patience) => {}
        }
    }
}

impl Room {
    fn new(lane: Lane) -> (Self, mpsc::UnboundedReceiver<(Promised, Place)>) {
        let (messages, receiver) = mpsc::unbounded_channel();
        let taken = Arc::new(watch::Sender::new(0));
        let room = Self {
            lane,
            messages,
            taken,
        };
        (room, receiver)
    }

    fn place(&self) -> Option<Place> {
        let mut is_room = false;
        self.taken.send_if_modified(|taken| {
            is_room = *taken < WAITING;
            *taken += usize::from(is_room);
            false
        });
        is_room.then(|| Place {
            lane: self.lane,
            taken: self.taken.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use serde_json::Value;

    use super::*;
    use crate::domain::{AccountId, MergeId};
    use crate::store::outbox::{Destination, Draft, Key};

    const LONG: Duration = Duration::from_mins(1);

    fn key(id: i64) -> Key {
        Key {
            account: AccountId::try_from(1).unwrap(),
            merge: MergeId::nil(),
            id,
        }
    }

    fn message() -> Promised {
        Promised {
            key: key(1),
            correlation_id: None,
            traceparent: None,
            draft: Draft {
                destination: Destination::Event,
                routing_key: String::new(),
                message_id: String::new(),
                headers: None::<Value>,
                body: String::new(),
            },
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lane_begins_nothing_new_while_the_relay_is_busy_with_what_it_promised() {
        let (hand_over, mut relay) = channel();
        let up = watch::Sender::new(LinkState::Up);
        hand_over.promised(Lane::Bulk, vec![message(); BUSY - 1]);
        hand_over
            .room(Lane::Bulk, up.subscribe(), LONG)
            .now_or_never()
            .unwrap();
        hand_over.promised(Lane::Bulk, vec![message()]);
        let mut waits = Box::pin(hand_over.room(Lane::Bulk, up.subscribe(), LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        let interactive = hand_over.room(Lane::Interactive, up.subscribe(), LONG);
        interactive.now_or_never().unwrap();
        // Taken up is not confirmed.
        let confirmed = relay.recv().await.unwrap();
        assert!(waits.as_mut().now_or_never().is_none());
        drop(confirmed);
        waits.now_or_never().unwrap();
    }

    #[tokio::test]
    async fn what_somebody_waits_for_goes_first() {
        let (hand_over, mut relay) = channel();
        let of = |id| Promised {
            key: key(id),
            ..message()
        };
        hand_over.promised(Lane::Bulk, vec![of(1), of(2)]);
        hand_over.promised(Lane::Interactive, vec![of(3)]);
        let mut order = Vec::new();
        while !relay.is_empty() {
            order.push(relay.recv().await.unwrap().0.key.id);
        }
        assert_eq!(order, [3, 1, 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_broker_that_is_away_holds_up_nothing() {
        let (hand_over, mut relay) = channel();
        hand_over.promised(Lane::Bulk, vec![message(); WAITING + 10]);
        let link = watch::Sender::new(LinkState::Up);
        let mut waits = Box::pin(hand_over.room(Lane::Bulk, link.subscribe(), LONG));
        assert!(waits.as_mut().now_or_never().is_none());
        link.send_replace(LinkState::Blocked);
        waits.now_or_never().unwrap();
        // It is up, and confirms nothing.
        link.send_replace(LinkState::Up);
        hand_over.room(Lane::Bulk, link.subscribe(), LONG).await;
        let mut kept = 0;
        while relay.bulk.try_recv().is_ok() {
            kept += 1;
        }
        assert_eq!(kept, WAITING, "the rest waits in the outbox");
    }
}
