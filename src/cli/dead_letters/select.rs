//! Which dead letters a command is about.

use std::time::Duration;

use chrono::{DateTime, Utc};
use clap::error::ErrorKind;
use humantime_serde::re::humantime::parse_duration;

use super::view::View;
use super::wrong_usage;
use crate::broker::Lane;
use crate::domain::AccountId;

/// The filters: a letter must pass each that is given, and meet one of its values.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Which dead letters")]
pub(super) struct Selection {
    /// That died for this reason, such as `deadlock` or `delivery_limit`; `none`: without any
    #[arg(long = "reason", value_name = "WORD")]
    reasons: Vec<String>,
    /// That came by this lane: interactive or bulk
    #[arg(long, value_name = "LANE")]
    lane: Option<Lane>,
    /// Of this account, as far as the body tells
    #[arg(long = "account", value_name = "ID")]
    accounts: Vec<AccountId>,
    /// With this idempotency key, as far as the body tells
    #[arg(long = "key", value_name = "KEY")]
    keys: Vec<String>,
    /// With this AMQP message id
    #[arg(long = "message-id", value_name = "ID")]
    message_ids: Vec<String>,
    /// At this place in the queue, counted from 1; it changes when one before it goes
    #[arg(long = "position", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    positions: Vec<u64>,
    /// Dead for at least so long, such as 1h; only those of which the time is known
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    older_than: Option<Duration>,
    /// Dead for at most so long; only those of which the time is known
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    younger_than: Option<Duration>,
    /// How many messages to look at, from the head of the queue; the broker keeps a note of each meanwhile
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub scan: u64,
}

impl Selection {
    /// Whether it leaves nothing out.
    pub(super) const fn is_everything(&self) -> bool {
        let Self {
            reasons,
            lane,
            accounts,
            keys,
            message_ids,
            positions,
            older_than,
            younger_than,
            scan: _,
        } = self;
        let no_list = reasons.is_empty()
            && accounts.is_empty()
            && keys.is_empty()
            && message_ids.is_empty()
            && positions.is_empty();
        no_list && lane.is_none() && older_than.is_none() && younger_than.is_none()
    }

    /// Whether it means something else once the queue has moved.
    pub(super) const fn has_positions(&self) -> bool {
        !self.positions.is_empty()
    }

    /// Nobody replays or discards everything by leaving the filter out.
    pub(super) fn require(&self, all: bool) {
        match (self.is_everything(), all) {
            (true, false) => wrong_usage(
                ErrorKind::MissingRequiredArgument,
                "say which dead letters: a filter such as --reason, or --all",
            ),
            (false, true) => wrong_usage(
                ErrorKind::ArgumentConflict,
                "--all doesn't go with a filter",
            ),
            _ => {}
        }
    }

    /// Whether a letter is meant.
    pub(super) fn matches(&self, view: &View, now: DateTime<Utc>) -> bool {
        let one_of = |wanted: &[String], value: Option<&String>| {
            wanted.is_empty() || value.is_some_and(|value| wanted.contains(value))
        };
        let reason = view.reason.as_deref().unwrap_or("none");
        let age = view.dead_since.map(|since| age(since, now));
        (self.reasons.is_empty() || self.reasons.iter().any(|wanted| wanted == reason))
            && self.lane.is_none_or(|lane| view.lane == Some(lane))
            && (self.accounts.is_empty()
                || view
                    .account
                    .is_some_and(|account| self.accounts.contains(&account)))
            && one_of(&self.keys, view.key.as_ref())
            && one_of(&self.message_ids, view.message_id.as_ref())
            && (self.positions.is_empty() || self.positions.contains(&view.position))
            && self
                .older_than
                .is_none_or(|least| age.is_some_and(|age| age >= least))
            && self
                .younger_than
                .is_none_or(|most| age.is_some_and(|age| age <= most))
    }
}

/// How long ago; nothing, where the clocks differ.
pub(super) fn age(since: DateTime<Utc>, now: DateTime<Utc>) -> Duration {
    (now - since).to_std().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        selection: Selection,
    }

    fn selection(line: &str) -> Selection {
        Line::parse_from(std::iter::once("x").chain(line.split_whitespace())).selection
    }

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn view() -> View {
        View {
            position: 3,
            reason: Some("lock_timeout".into()),
            lane: Some(Lane::Bulk),
            account: Some(42.try_into().unwrap()),
            key: Some("k-1".into()),
            message_id: Some("m-1".into()),
            dead_since: Some("2026-11-22T11:00:00Z".parse().unwrap()),
            ..View::default()
        }
    }

    #[test]
    fn each_filter_alone_takes_and_leaves() {
        for (takes, leaves) in [
            ("--reason lock_timeout", "--reason deadlock"),
            ("--reason deadlock --reason lock_timeout", "--reason none"),
            ("--lane bulk", "--lane interactive"),
            ("--account 42", "--account 43"),
            ("--account 43 --account 42", "--account 4"),
            ("--key k-1", "--key m-1"),
            ("--message-id m-1", "--message-id k-1"),
            ("--position 1 --position 3", "--position 1"),
            ("--older-than 1h", "--older-than 61m"),
            ("--younger-than 1h", "--younger-than 59m"),
        ] {
            assert!(selection(takes).matches(&view(), now()), "{takes}");
            assert!(!selection(leaves).matches(&view(), now()), "{leaves}");
            assert!(!selection(takes).is_everything());
        }
        assert!(selection("").is_everything() && selection("--scan 5").is_everything());
    }

    #[test]
    fn filters_are_met_together() {
        let all = "--reason lock_timeout --lane bulk --account 42 --key k-1 --older-than 1m";
        assert!(selection(all).matches(&view(), now()));
        assert!(!selection(&format!("{all} --younger-than 1m")).matches(&view(), now()));
    }

    #[test]
    fn what_is_not_known_is_no_match() {
        let unknown = View {
            position: 1,
            ..View::default()
        };
        for line in [
            "--lane bulk",
            "--account 42",
            "--key k-1",
            "--message-id m-1",
            "--older-than 0s",
            "--younger-than 1000d",
            "--reason lock_timeout",
        ] {
            assert!(!selection(line).matches(&unknown, now()), "{line}");
        }
        assert!(selection("--reason none").matches(&unknown, now()));
    }
}
