//! A walk through the dead-letter queue: one message after the other, from the head on, each taken away or left.
//!
//! What is left stays unacknowledged until the walk ends, because a message that is given back comes next again. It
//! costs this process next to nothing. [`DeadLetters::close`] gives it back in order; if the process just ends, the
//! broker takes it back at once, in an order of its own. Each walk counts as a delivery of what it passes; the
//! queue's limit is a billion of them.
//!
//! A quorum queue delivers first what came back to it, in the order in which it came back. So a walk that goes to
//! the end keeps the order of the queue, and one that breaks off may move what it passed behind the rest.

mod letter;
mod replay;
mod round;

use std::time::Duration;

use lapin::options::{BasicAckOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio::time::{Instant, timeout};

use super::declare::{refused, short};
use super::error::Refusal;
use super::tcp::Reads;
use super::{Connection, Error, QueueState, Settings, Settled, queue_state};
pub use letter::{Death, Letter};
pub use replay::Replay;
use round::Round;

const READING: &str = "reading the dead letters";
/// After this time whoever takes letters should begin again, because the broker ends a channel that holds a message
/// for too long (`consumer_timeout`, 30 minutes unless set otherwise).
const ROUND: Duration = Duration::from_mins(5);
/// How long a message may take to come before the queue is asked again whether there is one.
const LOOK: Duration = Duration::from_millis(500);

/// The walk. It ends with the last message that was there when it began: one that dies anew meanwhile comes behind
/// those, and is not met.
pub struct DeadLetters {
    connection: Connection,
    queue: String,
    lanes: [(String, super::Lane); 2],
    there: QueueState,
    taken: u64,
    passed: u64,
    left: u64,
    round: Option<Round>,
    longest: Duration,
}

impl DeadLetters {
    /// Connects and counts. The queue must exist: nothing is declared.
    pub async fn open(settings: &Settings) -> Result<Self, Error> {
        let connection = Connection::open_for(Reads::Mended, settings, "dead letters").await?;
        let queue = settings.names.dead.clone();
        match count(&connection, &queue).await {
            Ok(there) => Ok(Self {
                connection,
                queue,
                lanes: super::Lane::ALL.map(|lane| (settings.names.lane(lane).to_owned(), lane)),
                there,
                taken: 0,
                passed: 0,
                left: there.messages.into(),
                round: None,
                longest: ROUND,
            }),
            Err(error) => {
                connection.close().await;
                Err(error)
            }
        }
    }

    /// Messages are held for another time than 5 minutes before the round is over.
    #[must_use]
    pub const fn with_rounds_of(mut self, longest: Duration) -> Self {
        self.longest = longest;
        self
    }

    /// What was there when the walk began. Messages that others look at are not among them.
    #[must_use]
    pub const fn there(&self) -> QueueState {
        self.there
    }

    /// How many messages it has come past in this round, taken or left: the position of the last one.
    #[must_use]
    pub const fn passed(&self) -> u64 {
        self.passed
    }

    /// Whether it is time to [begin again](Self::begin_again): messages were held for long, and some were taken, so
    /// that it comes to an end.
    #[must_use]
    pub fn is_round_over(&self) -> bool {
        let over = |round: &Round| round.has_taken && round.began.elapsed() >= self.longest;
        self.round.as_ref().is_some_and(over)
    }

    /// Gives back what is held, and goes through all that is left from the head. What was passed comes again, at
    /// other positions.
    pub async fn begin_again(&mut self) -> Result<(), Error> {
        if let Some(round) = self.round.take() {
            round.end(&self.connection).await?;
        }
        self.passed = 0;
        self.left = u64::from(self.there.messages).saturating_sub(self.taken);
        Ok(())
    }

    /// The next message; `None` after the last one, or where somebody else has taken what was left.
    pub async fn next(&mut self) -> Result<Option<Letter>, Error> {
        if self.left == 0 {
            return Ok(None);
        }
        let deadline = Instant::now() + self.connection.reply_timeout;
        let mut was_empty = false;
        loop {
            let round = match &mut self.round {
                Some(round) => round,
                none => none.insert(Round::open(&self.connection, &self.queue).await?),
            };
            round.widen(&self.connection).await?;
            if let Ok(delivery) = timeout(LOOK, round.next()).await {
                let delivery = delivery?;
                self.left -= 1;
                self.passed += 1;
                return Ok(Some(Letter::new(delivery, self.passed, &self.lanes)));
            }
            let is_empty = queue_state(&self.connection, &self.queue).await?.messages == 0;
            // Asked twice, because what is on its way to us is not in the queue any more either.
            if is_empty && was_empty {
                self.left = 0;
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

    /// Takes a message of this round out of the queue. Stale: its channel is gone, and it is still there.
    pub async fn take(&mut self, letter: &Letter) -> Result<Settled, Error> {
        let acking = letter.acker.ack(BasicAckOptions::default());
        let is_done = self.connection.answer("acknowledging", acking).await?;
        if !is_done {
            return Ok(Settled::Stale);
        }
        self.taken += 1;
        if let Some(round) = &mut self.round {
            round.taken(letter.tag);
        }
        Ok(Settled::Done)
    }

    /// Gives back what is held, and waits until the broker has done all that it was told.
    pub async fn close(mut self) {
        // Where it fails the connection is gone, and the broker has taken everything back.
        drop(self.begin_again().await);
        self.connection.close().await;
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
