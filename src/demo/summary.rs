//! The run as one object, and what to try next with it.

use std::time::Duration;

use super::cast;
use super::check::Check;
use super::outcomes::Outcome;
use super::plan::Plan;
use super::screen::Screen;
use super::script::Expect;
use super::show::{per_second, seconds};
use super::stage::Played;
use crate::store::demo::{Rows, Span};

/// What `--json` prints.
#[derive(Debug, serde::Serialize)]
pub(super) struct Summary {
    passed: bool,
    run: i64,
    accounts: Vec<i64>,
    users: usize,
    tickets: usize,
    ccs: usize,
    fill_seconds: f64,
    requests: usize,
    merged: usize,
    put_off: u32,
    merge_seconds: f64,
    merges: Option<Speed>,
    largest_merge: Option<Speed>,
    outcomes: Vec<Outcome>,
    deletion_messages: usize,
    dead_letters: usize,
    checks: Vec<Check>,
    example: Example,
}

/// From the first request taken up to the last outcome recorded.
#[derive(Debug, serde::Serialize)]
struct Speed {
    merges: i64,
    tickets: i64,
    ccs: i64,
    seconds: f64,
    tickets_per_second: i64,
}

/// A merge to ask about.
#[derive(Debug, serde::Serialize)]
struct Example {
    account: i64,
    key: String,
    /// A pair that is not merged yet.
    source: i64,
    target: i64,
}

impl From<Span> for Speed {
    fn from(span: Span) -> Self {
        let seconds = seconds(&span);
        Self {
            merges: span.merges,
            tickets: span.tickets,
            ccs: span.ccs,
            seconds,
            tickets_per_second: per_second(span.tickets, seconds),
        }
    }
}

impl Summary {
    #[allow(
        clippy::too_many_arguments,
        reason = "each is one part of what the run came to"
    )]
    pub(super) fn new(
        plan: &Plan,
        before: &Rows,
        filled: Duration,
        played: &Played,
        outcomes: Vec<Outcome>,
        merges: Option<Span>,
        largest: Option<Span>,
        checks: Vec<Check>,
        deletion_messages: usize,
        dead_letters: usize,
    ) -> Self {
        let places = 0..plan.requests.len();
        let is_done = |place: &usize| played.tally.came_to(plan, *place) == Some(Expect::Completed);
        Self {
            passed: checks.iter().all(|check| check.holds),
            run: plan.run,
            accounts: plan.account_ids(),
            users: before.users.len(),
            tickets: before.tickets.len(),
            ccs: before.ccs.len(),
            fill_seconds: filled.as_secs_f64(),
            requests: plan.requests.len() + plan.unreadable.len(),
            merged: places.filter(is_done).count(),
            put_off: played.put_off,
            merge_seconds: played.took.as_secs_f64(),
            merges: merges.map(Speed::from),
            largest_merge: largest.map(Speed::from),
            outcomes,
            deletion_messages,
            dead_letters,
            checks,
            example: Example {
                account: plan.main_account(),
                key: plan.key(plan.main_account(), "shown"),
                source: cast::NEIGHBOUR,
                target: cast::SHOWN_TARGET,
            },
        }
    }

    pub(super) const fn passed(&self) -> bool {
        self.passed
    }

    /// With this run's own values.
    pub(super) fn print_next_steps(&self, screen: &Screen) {
        let Example {
            account,
            key,
            source,
            target,
        } = &self.example;
        // As this process was called.
        let program = std::env::args()
            .next()
            .unwrap_or_else(|| "user-merge".to_owned());
        let steps = [
            format!("{program} status {key}"),
            format!("{program} --json status --account {account} {key}"),
            format!("{program} worker    # in another terminal"),
            format!(
                "{program} enqueue --account {account} --source {source} --target {target} \\\n      --wait"
            ),
            "curl -s http://127.0.0.1:9464/metrics | grep user_merge".to_owned(),
            format!("{program} schema merge-request"),
        ];
        screen.heading("Try next");
        screen.text("With the addresses of database and broker in the environment:");
        for step in steps {
            screen.line(&format!("  {step}"));
        }
    }
}
