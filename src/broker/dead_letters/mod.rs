//! A walk through the dead-letter queue: one message after the other, from the head on, each taken away or left.
//!
//! What is left stays unacknowledged until the walk ends, because a message that is given back comes next again. It
//! costs this process nothing, and goes back to its place when its channel closes: with [`DeadLetters::close`], or
//! with the process, however that ends. Each walk counts as a delivery of what it passes; the queue's limit is a
//! billion of them.

mod letter;
mod replay;
mod round;

use std::time::Duration;

use lapin::options::{BasicAckOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, timeout};

use super::declare::{refused, short};
use super::error::Refusal;
use super::{Connection, Error, QueueState, Settings, Settled, queue_state};
pub use letter::{Death, Letter};
pub use replay::Replay;
use round::Round;

const READING: &str = "reading the dead letters";
/// After this time all that is held goes back and is passed again, because the broker ends a channel that holds a
/// message for too long (`consumer_timeout`, 30 minutes unless set otherwise).
const ROUND: Duration = Duration::from_mins(5);
/// How long a message may take to come before the queue is asked again whether there is one.
const LOOK: Duration = Duration::from_millis(500);

/// The walk. It ends with the last message that was there when it began: one that dies anew meanwhile is not met a
/// second time.
pub struct DeadLetters {
    connection: Connection,
    queue: String,
    lanes: Vec<(String, super::Lane)>,
    there: QueueState,
    passed: u64,
    held: u64,
    round: Option<Round>,
}

impl DeadLetters {
    /// Connects and counts. The queue must exist: nothing is declared.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let connection = Connection::open_mended(settings, "dead letters").await?;
        let queue = settings.names.dead.clone();
        let lanes = super::Lane::ALL.map(|lane| (settings.names.lane(lane).to_owned(), lane));
        match count(&connection, &queue).await {
            Ok(there) => Ok(Self {
                connection,
                queue,
                lanes: lanes.into(),
                there,
                passed: 0,
                held: 0,
                round: None,
            }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// What was there when the walk began. Messages that others look at are not among them.
    #[must_use]
    pub const fn there(&self) -> QueueState {
        self.there
    }

    /// How many messages it has come past, taken or left: the position of the last one.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether the next step lets go of what is held: a message that is not taken by then can't be taken later.
    #[must_use]
    pub fn is_round_over(&self) -> bool {
        let began = self.round.as_ref().map(|round| round.began);
        began.is_some_and(|began| began.elapsed() >= ROUND)
    }

    /// The next message; `None` after the last one, or where somebody else has taken what was left.
    pub async fn next(&mut self) -> Result<Option<Letter>, Error> {
        if self.passed >= u64::from(self.there.messages) {
            return Ok(None);
        }
        if self.is_round_over()
            && let Some(round) = self.round.take()
        {
            round.close(&self.connection).await?;
        }
        loop {
            let Some((delivery, window)) = self.delivery().await? else {
                return Ok(None);
            };
            let Some(round) = &mut self.round else {
                continue;
            };
            if round.to_skip > 0 {
                round.to_skip -= 1;
                continue;
            }
            self.passed += 1;
            self.held += 1;
            return Ok(Some(Letter::new(
                delivery,
                self.passed,
                window,
                &self.lanes,
            )));
        }
    }

    /// Takes a message out of the queue. Stale: its connection is gone, and it is still there.
    pub async fn take(&mut self, letter: &Letter) -> Result<Settled, Error> {
        let acking = letter.acker.ack(BasicAckOptions::default());
        let is_done = self.connection.answer("acknowledging", acking).await?;
        if !is_done {
            return Ok(Settled::Stale);
        }
        self.held -= 1;
        if let Some(round) = &mut self.round {
            round.taken(letter.window);
        }
        Ok(Settled::Done)
    }

    /// Lets go of what is held, and waits until the broker has done all that it was told.
    pub async fn close(self) {
        self.connection.close().await;
    }

    async fn delivery(&mut self) -> Result<Option<(lapin::message::Delivery, u64)>, Error> {
        let deadline = Instant::now() + self.connection.reply_timeout;
        let mut was_empty = false;
        loop {
            let round = match &mut self.round {
                Some(round) => round,
                none => none.insert(Round::open(&self.connection, &self.queue, self.held).await?),
            };
            if let Ok(next) = timeout(LOOK, round.next(&self.connection)).await {
                return next.map(Some);
            }
            let is_empty = queue_state(&self.connection, &self.queue).await?.messages == 0;
            // Asked twice, because what is on its way to us is not in the queue any more either.
            if is_empty && was_empty {
                return Ok(None);
            }
            was_empty = is_empty;
            if Instant::now() >= deadline {
                return Err(Error::TimedOut {
                    doing: READING,
                    after: self.connection.reply_timeout,
                });
            }
        }
    }
}

/// Counts what is at the queue, and says so plainly where there is none.
async fn count(connection: &Connection, queue: &str) -> Result<QueueState, Error> {
    let channel = connection.channel().await?;
    let options = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::default()
    };
    let mut refusal = None;
    let asked = channel.queue_declare(short(queue)?, options, FieldTable::default());
    let asked = async { asked.await.inspect_err(|e| refusal = Refusal::of(e)) };
    let found = connection.answer("asking for the dead-letter queue", asked);
    match found.await {
        Ok(found) => Ok(QueueState {
            messages: found.message_count(),
            consumers: found.consumer_count(),
        }),
        Err(error) => Err(match refusal {
            Some(refusal) => refused("queue", queue, refusal),
            None => error,
        }),
    }
}
