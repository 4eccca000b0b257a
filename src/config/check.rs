//! Rules that hold between settings.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use secrecy::ExposeSecret;

use super::reader::Reader;
use super::sections::{Broker, Chunk, Lane, Names, Retry, Settings};
use super::urls;

/// Connections besides those of the lanes: relay, sweep, the keeper's lock, readiness, and the pace.
const OTHER_CONNECTIONS: u32 = 5;

/// Notes every setting that contradicts another.
pub(super) fn across(settings: &Settings, reader: &mut Reader) {
    let lanes = &settings.lanes;
    lane(reader, "lanes.interactive", &lanes.interactive);
    lane(reader, "lanes.bulk", &lanes.bulk);
    connections(reader, settings);
    shorter(
        reader,
        ("database.lock_timeout", settings.database.lock_timeout),
        (
            "database.statement_timeout",
            settings.database.statement_timeout,
        ),
    );
    shorter(
        reader,
        ("chunk.target_time", settings.chunk.target_time),
        (
            "database.statement_timeout",
            settings.database.statement_timeout,
        ),
    );
    // Otherwise a row would be claimed again while it is still being published.
    shorter(
        reader,
        ("broker.publish_timeout", settings.broker.publish_timeout),
        ("relay.lease", settings.relay.lease),
    );
    stuck(reader, settings);
    chunk(reader, &settings.chunk);
    retry(reader, &settings.retry);
    stranded(reader, settings);
    encryption(reader, &settings.broker);
    names(reader, &settings.broker.names, &settings.retry.delays);
}

fn lane(reader: &mut Reader, path: &str, lane: &Lane) {
    if lane.prefetch < lane.concurrency {
        reader.wrong(
            &format!("{path}.prefetch"),
            &format!(
                "must be at least {path}.concurrency, {}: the others would wait for messages",
                lane.concurrency
            ),
        );
    }
}

impl Settings {
    /// Connections without which somebody would have to wait for one.
    fn needed_connections(&self) -> u32 {
        let lanes = &self.lanes;
        u32::from(lanes.interactive.concurrency)
            + u32::from(lanes.bulk.concurrency)
            + OTHER_CONNECTIONS
    }

    /// Connections that are left over.
    #[must_use]
    pub fn spare_connections(&self) -> u32 {
        let all = self.database.max_connections;
        all.saturating_sub(self.needed_connections())
    }
}

fn connections(reader: &mut Reader, settings: &Settings) {
    let lanes = &settings.lanes;
    let needed = settings.needed_connections();
    if settings.database.max_connections < needed {
        reader.wrong(
            "database.max_connections",
            &format!(
                "must be at least {needed}: lanes.interactive.concurrency ({}) \
                 + lanes.bulk.concurrency ({}) + {OTHER_CONNECTIONS}",
                lanes.interactive.concurrency, lanes.bulk.concurrency
            ),
        );
    }
}

fn shorter(reader: &mut Reader, short: (&str, Duration), long: (&str, Duration)) {
    if short.1 >= long.1 {
        let message = format!(
            "must be shorter than {}, {}",
            long.0,
            format_duration(long.1)
        );
        reader.wrong(short.0, &message);
    }
}

/// A transaction, or a look of the relay, is several statements, each of which may take its time.
fn stuck(reader: &mut Reader, settings: &Settings) {
    let database = &settings.database;
    let waits = [
        ("database.statement_timeout", database.statement_timeout),
        ("database.connect_timeout", database.connect_timeout),
    ];
    for (name, wait) in waits {
        if settings.worker.stuck_after < wait * 4 {
            let wait = format_duration(wait);
            let message = format!("must be at least 4 times {name}, {wait}");
            reader.wrong("worker.stuck_after", &message);
        }
    }
}

fn chunk(reader: &mut Reader, chunk: &Chunk) {
    if chunk.min > chunk.max {
        reader.wrong(
            "chunk.min",
            &format!("must be at most chunk.max, {}", chunk.max),
        );
    } else if !(chunk.min..=chunk.max).contains(&chunk.initial) {
        reader.wrong(
            "chunk.initial",
            &format!(
                "must be from chunk.min, {}, to chunk.max, {}",
                chunk.min, chunk.max
            ),
        );
    }
}

fn retry(reader: &mut Reader, retry: &Retry) {
    if !retry.delays.contains(&retry.conflict_delay) {
        let delays: Vec<_> = retry
            .delays
            .iter()
            .map(|d| format_duration(*d).to_string())
            .collect();
        reader.wrong(
            "retry.conflict_delay",
            &format!("must be one of retry.delays: {}", delays.join(", ")),
        );
    }
    if retry.conflict_patience < retry.conflict_delay {
        reader.wrong(
            "retry.conflict_patience",
            &format!(
                "must be at least retry.conflict_delay, {}",
                format_duration(retry.conflict_delay)
            ),
        );
    }
}

/// A merge that is put off, or that made room for others, doesn't stand still.
fn stranded(reader: &mut Reader, settings: &Settings) {
    let put_off = settings.retry.delays.last().copied().unwrap_or_default();
    let quiet = settings.merge.slice + put_off;
    if settings.sweep.stranded_after <= quiet {
        reader.wrong(
            "sweep.stranded_after",
            &format!(
                "must be longer than merge.slice and the last of retry.delays together, {}",
                format_duration(quiet)
            ),
        );
    }
}

/// A certificate authority says that encryption is wanted; `amqp://` would silently go without.
fn encryption(reader: &mut Reader, broker: &Broker) {
    let plain = broker.url.as_ref().is_some_and(|list| {
        let urls = urls(list.expose_secret());
        urls.iter().any(|url| url.starts_with("amqp://"))
    });
    if plain && broker.ca_file.is_some() {
        reader.wrong(
            "broker.ca_file",
            "needs a broker.url that starts with amqps://",
        );
    }
}

fn names(reader: &mut Reader, names: &Names, delays: &[Duration]) {
    let mut taken: Vec<(&str, String)> = delays
        .iter()
        .map(|delay| ("a retry queue", names.retry(*delay)))
        .collect();
    for (setting, name) in names.all() {
        if let Some((other, _)) = taken.iter().find(|(_, other)| other == name) {
            let message = format!("must differ from every other name; {other} has it too");
            reader.wrong(&format!("broker.names.{setting}"), &message);
        }
        taken.push((setting, name.to_owned()));
    }
}
