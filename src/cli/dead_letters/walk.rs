//! A walk through the queue as the commands make it: bounded, and ended by a signal.

use anyhow::{Context as _, anyhow, bail};
use chrono::{DateTime, Utc};
use tokio_util::sync::CancellationToken;

use super::select::Selection;
use super::view::View;
use crate::app;
use crate::broker::{self, DeadLetters, Letter, Settled};
use crate::cli::Context;

/// The dead letters that are selected, one after the other.
pub(super) struct Walk<'a> {
    letters: DeadLetters,
    selection: &'a Selection,
    stop: CancellationToken,
    now: DateTime<Utc>,
    has_failed: bool,
}

/// How far a walk came.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Reach {
    /// Messages in the queue when it began.
    pub there: u64,
    /// Messages that it came past.
    pub looked_at: u64,
    /// Whether others were reading the queue: what they held was not among those.
    pub others_read: bool,
    /// Whether a signal ended it.
    pub interrupted: bool,
}

impl<'a> Walk<'a> {
    pub(super) async fn open(
        context: &Context,
        selection: &'a Selection,
        stop: &CancellationToken,
    ) -> anyhow::Result<Self> {
        let broker = app::broker(&context.settings)?;
        let opening = DeadLetters::open(&broker);
        let opened = tokio::select! {
            opened = opening => opened,
            () = stop.cancelled() => return Err(anyhow!("interrupted")),
        };
        Ok(Self {
            letters: opened.context("can't read the dead letters")?,
            selection,
            stop: stop.clone(),
            now: Utc::now(),
            has_failed: false,
        })
    }

    /// The next one that is selected; `None` at the end of the queue or of the scan, and after a signal.
    pub(super) async fn next(&mut self) -> anyhow::Result<Option<(Letter, View)>> {
        while self.letters.passed() < self.selection.scan {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                next = self.letters.next() => next,
            };
            let next = next.map_err(|error| self.explain(error));
            self.has_failed = next.is_err();
            let Some(letter) = next? else {
                return Ok(None);
            };
            let view = View::of(&letter);
            if self.selection.matches(&view, self.now) {
                return Ok(Some((letter, view)));
            }
        }
        Ok(None)
    }

    pub(super) async fn take(&mut self, letter: &Letter) -> Result<Settled, broker::Error> {
        let taken = self.letters.take(letter).await;
        self.has_failed = !matches!(taken, Ok(Settled::Done));
        taken
    }

    /// Whether letters have been held for so long that the walk should [begin again](Self::begin_again).
    pub(super) fn is_round_over(&self) -> bool {
        self.letters.is_round_over()
    }

    /// Passes everything again that was not taken.
    pub(super) async fn begin_again(&mut self) -> anyhow::Result<()> {
        if self.selection.has_positions() {
            bail!(
                "it took so long that the positions have changed: list again, and go on with the rest"
            );
        }
        self.letters.begin_again().await?;
        Ok(())
    }

    pub(super) fn reach(&self) -> Reach {
        let there = self.letters.there();
        Reach {
            there: there.messages.into(),
            looked_at: self.letters.passed(),
            others_read: there.consumers > 0,
            interrupted: self.stop.is_cancelled(),
        }
    }

    pub(super) const fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// What was left goes back to its place. For that the walk goes on to its end, if nothing is against it: only
    /// then the queue has its order again.
    pub(super) async fn close(mut self) {
        while !self.has_failed && self.letters.passed() < self.selection.scan {
            let next = tokio::select! {
                biased;
                () = self.stop.cancelled() => break,
                next = self.letters.next() => next,
            };
            if !matches!(next, Ok(Some(_))) {
                break;
            }
        }
        self.letters.close().await;
    }

    fn explain(&self, error: broker::Error) -> anyhow::Error {
        let position = self.letters.passed() + 1;
        let is_unreadable = matches!(error, broker::Error::Unreadable { .. });
        let error = anyhow!(error);
        if is_unreadable {
            return error.context(format!(
                "the dead letter at or soon after position {position} can't be read by this program: only the \
                 broker's own tools can take it out (see the README on dead letters)"
            ));
        }
        error.context(format!("stopped before the letter at position {position}"))
    }
}

impl Reach {
    /// What the numbers don't tell by themselves.
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        if self.interrupted {
            notes.push("interrupted: the rest was not looked at".to_owned());
        } else if self.looked_at < self.there {
            let (looked_at, there) = (self.looked_at, self.there);
            notes.push(format!(
                "looked at {looked_at} of {there} messages: --scan and --limit set how far"
            ));
        }
        if self.others_read {
            notes
                .push("somebody else reads this queue too: what they hold is not shown".to_owned());
        }
        notes
    }
}
