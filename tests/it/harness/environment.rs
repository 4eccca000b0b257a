//! Settings as a process gets them: variables.

use std::time::Duration;

use humantime_serde::re::humantime::format_duration;
use secrecy::{ExposeSecret as _, SecretString};
use user_merge::config::{LogFormat, Settings};

/// Every setting with its value, and nothing else of the test's environment but the way to programs.
pub fn environment(settings: &Settings) -> Vec<(String, String)> {
    let values = values(settings);
    let names: Vec<&str> = values.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        names,
        Settings::keys(),
        "a setting would not reach the process"
    );
    let variable = |name: &str| format!("USER_MERGE__{}", name.to_uppercase().replace('.', "__"));
    let path = std::env::var("PATH").map(|path| ("PATH".to_owned(), path));
    let ours = values
        .into_iter()
        .map(|(name, value)| (variable(name), value));
    ours.chain(path).collect()
}

#[allow(clippy::too_many_lines, reason = "a list")]
fn values(s: &Settings) -> Vec<(&'static str, String)> {
    let secret = |url: &Option<SecretString>| {
        let url = url.as_ref().map(|url| url.expose_secret().to_owned());
        url.unwrap_or_default()
    };
    let time = |time: Duration| format_duration(time).to_string();
    let delays: Vec<String> = s.retry.delays.iter().map(|delay| time(*delay)).collect();
    let log_format = match s.telemetry.log_format {
        LogFormat::Auto => "auto",
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    let (broker, names) = (&s.broker, &s.broker.names);
    let ca_file = broker
        .ca_file
        .as_ref()
        .map(|path| path.display().to_string());
    let listen = s.telemetry.listen.map(|address| address.to_string());
    vec![
        ("database.url", secret(&s.database.url)),
        (
            "database.max_connections",
            s.database.max_connections.to_string(),
        ),
        ("database.connect_timeout", time(s.database.connect_timeout)),
        ("database.lock_timeout", time(s.database.lock_timeout)),
        (
            "database.statement_timeout",
            time(s.database.statement_timeout),
        ),
        ("broker.url", secret(&broker.url)),
        ("broker.ca_file", ca_file.unwrap_or_default()),
        ("broker.heartbeat", time(broker.heartbeat)),
        ("broker.connect_timeout", time(broker.connect_timeout)),
        ("broker.publish_timeout", time(broker.publish_timeout)),
        ("broker.delivery_limit", broker.delivery_limit.to_string()),
        ("broker.names.requests", names.requests.clone()),
        ("broker.names.bulk", names.bulk.clone()),
        ("broker.names.retry_prefix", names.retry_prefix.clone()),
        ("broker.names.dead", names.dead.clone()),
        ("broker.names.deletion", names.deletion.clone()),
        ("broker.names.events", names.events.clone()),
        (
            "lanes.interactive.concurrency",
            s.lanes.interactive.concurrency.to_string(),
        ),
        (
            "lanes.interactive.batch",
            s.lanes.interactive.batch.to_string(),
        ),
        (
            "lanes.interactive.prefetch",
            s.lanes.interactive.prefetch.to_string(),
        ),
        (
            "lanes.bulk.concurrency",
            s.lanes.bulk.concurrency.to_string(),
        ),
        ("lanes.bulk.batch", s.lanes.bulk.batch.to_string()),
        ("lanes.bulk.prefetch", s.lanes.bulk.prefetch.to_string()),
        ("merge.ticket_limit", s.merge.ticket_limit.to_string()),
        (
            "merge.move_archived_ccs",
            s.merge.move_archived_ccs.to_string(),
        ),
        (
            "merge.carry_social_identities",
            s.merge.carry_social_identities.to_string(),
        ),
        ("merge.slice", time(s.merge.slice)),
        ("chunk.initial", s.chunk.initial.to_string()),
        ("chunk.min", s.chunk.min.to_string()),
        ("chunk.max", s.chunk.max.to_string()),
        ("chunk.target_time", time(s.chunk.target_time)),
        ("pace.interval", time(s.pace.interval)),
        ("pace.replication_lag", time(s.pace.replication_lag)),
        ("pace.ignored_standbys", s.pace.ignored_standbys.clone()),
        ("pace.lock_waits", s.pace.lock_waits.to_string()),
        ("pace.wal_rate", s.pace.wal_rate.to_string()),
        ("pace.statement_time", time(s.pace.statement_time)),
        ("retry.immediate", s.retry.immediate.to_string()),
        ("retry.base", time(s.retry.base)),
        ("retry.delays", delays.join(",")),
        ("retry.max_attempts", s.retry.max_attempts.to_string()),
        ("retry.breaker_after", s.retry.breaker_after.to_string()),
        ("retry.breaker_pause", time(s.retry.breaker_pause)),
        ("retry.conflict_delay", time(s.retry.conflict_delay)),
        ("retry.conflict_patience", time(s.retry.conflict_patience)),
        ("relay.interval", time(s.relay.interval)),
        ("relay.batch", s.relay.batch.to_string()),
        ("relay.lease", time(s.relay.lease)),
        ("relay.keep_published", time(s.relay.keep_published)),
        ("sweep.interval", time(s.sweep.interval)),
        ("sweep.window", time(s.sweep.window)),
        ("sweep.batch", s.sweep.batch.to_string()),
        ("sweep.stranded_after", time(s.sweep.stranded_after)),
        ("worker.grace", time(s.worker.grace)),
        ("worker.stuck_after", time(s.worker.stuck_after)),
        ("telemetry.listen", listen.unwrap_or_default()),
        ("telemetry.log_format", log_format.to_owned()),
        ("telemetry.log_filter", s.telemetry.log_filter.clone()),
    ]
}
