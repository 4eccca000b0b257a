//! Rules for a single setting; each says what would be right.

#![allow(clippy::ptr_arg, reason = "a rule takes the setting's own type")]

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::filter::Targets;

use super::urls;

type Verdict = Result<(), String>;

pub(super) const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

pub(super) const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

pub(super) const fn minutes(count: u64) -> Duration {
    seconds(60 * count)
}

pub(super) const fn hours(count: u64) -> Duration {
    minutes(60 * count)
}

pub(super) const fn days(count: u64) -> Duration {
    hours(24 * count)
}

fn verdict(right: bool, message: impl FnOnce() -> String) -> Verdict {
    if right { Ok(()) } else { Err(message()) }
}

/// A number within bounds, both included.
pub(super) fn within<T>(low: T, high: T) -> impl Fn(&T) -> Verdict
where
    T: PartialOrd + std::fmt::Display,
{
    move |value| {
        verdict(*value >= low && *value <= high, || {
            format!("must be from {low} to {high}")
        })
    }
}

/// A duration within bounds, both included.
pub(super) fn lasting(low: Duration, high: Duration) -> impl Fn(&Duration) -> Verdict {
    move |value| {
        verdict(*value >= low && *value <= high, || {
            format!(
                "must be from {} to {}",
                format_duration(low),
                format_duration(high)
            )
        })
    }
}

/// A duration that may be nothing as well, which then means that there is no such limit.
pub(super) fn off_or(rule: impl Fn(&Duration) -> Verdict) -> impl Fn(&Duration) -> Verdict {
    move |value| match rule(value) {
        Err(message) if !value.is_zero() => Err(format!("{message}, or 0s for none")),
        _ => Ok(()),
    }
}

/// Like [`lasting`], and a whole number of seconds: the broker knows no fractions of them.
pub(super) fn lasting_seconds(low: Duration, high: Duration) -> impl Fn(&Duration) -> Verdict {
    move |value| {
        verdict(value.subsec_nanos() == 0, || {
            "must be a whole number of seconds".to_owned()
        })?;
        lasting(low, high)(value)
    }
}

/// The delays of the retry queues.
pub(super) fn growing_delays(delays: &Vec<Duration>) -> Verdict {
    verdict((1..=10).contains(&delays.len()), || {
        "must list 1 to 10 delays".to_owned()
    })?;
    verdict(delays.is_sorted_by(|one, next| one < next), || {
        "each delay must be longer than the one before".to_owned()
    })?;
    delays.iter().try_for_each(|delay| {
        lasting_seconds(seconds(1), hours(24))(delay)
            .map_err(|message| format!("{} {message}", format_duration(*delay)))
    })
}

/// A URL of one of these schemes with something after it; checked without ever showing it.
pub(super) fn secret_url(
    schemes: &'static [&'static str],
    example: &'static str,
) -> impl Fn(&Option<SecretString>) -> Verdict {
    move |url| {
        let Some(url) = url else { return Ok(()) };
        let rest = |scheme: &&str| {
            url.expose_secret()
                .strip_prefix(*scheme)?
                .strip_prefix("://")
        };
        verdict(
            schemes
                .iter()
                .find_map(rest)
                .is_some_and(|rest| !rest.is_empty()),
            || format!("must be a URL such as {example} (the value is secret and not shown)"),
        )
    }
}

/// The same for several URLs, commas between them.
pub(super) fn secret_urls(
    schemes: &'static [&'static str],
    example: &'static str,
) -> impl Fn(&Option<SecretString>) -> Verdict {
    let check = secret_url(schemes, example);
    move |list| {
        let Some(list) = list else { return Ok(()) };
        urls(list.expose_secret())
            .into_iter()
            .try_for_each(|url| check(&Some(url.into())))
    }
}

/// A queue's or an exchange's name.
pub(super) fn broker_name(name: &String) -> Verdict {
    // AMQP allows 255 bytes; the retry queues append their delay.
    verdict((1..=200).contains(&name.len()), || {
        "must have 1 to 200 bytes".to_owned()
    })?;
    verdict(!name.starts_with("amq."), || {
        "must not start with amq., which the broker keeps for itself".to_owned()
    })
}

/// Targets and levels, as `tracing_subscriber` reads them.
pub(super) fn directives(filter: &String) -> Verdict {
    filter.parse::<Targets>().map(|_| ()).map_err(|error| {
        format!("must be a filter such as \"info\" or \"info,user_merge::merge=debug\" ({error})")
    })
}
