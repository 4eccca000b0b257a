use super::*;

/// A file, the setting that is wrong then, and what would be right.
#[rustfmt::skip]
const TABLE: &[(&str, &str, &str)] = &[
    ("[database]\nurl = \"mysql://db\"", "database.url", "a URL such as postgres://"),
    ("[database]\nurl = \"postgres://\"", "database.url", "a URL such as postgres://"),
    ("[database]\nmax_connections = 23", "database.max_connections", "must be at least 24: lanes.interactive.concurrency (16)"),
    ("[lanes.bulk]\nconcurrency = 30\nprefetch = 30", "database.max_connections", "must be at least 51"),
    ("[database]\nconnect_timeout = \"0s\"", "database.connect_timeout", "from 100ms to 5m"),
    ("[database]\nlock_timeout = \"2m\"", "database.lock_timeout", "from 10ms to 1m"),
    ("[database]\nlock_timeout = \"30s\"", "database.lock_timeout", "shorter than database.statement_timeout, 30s"),
    ("[database]\nstatement_timeout = \"1h\"", "database.statement_timeout", "from 1s to 10m"),
    ("[broker]\nurl = \"http://mq\"", "broker.url", "a URL such as amqps://"),
    ("[broker]\nurl = \"amqp://a,b/v, http://c/v\"", "broker.url", "for a cluster amqps://"),
    ("[broker]\nurl = \"amqps://a/v,amqp://b/v\"\nca_file = \"ca.pem\"", "broker.ca_file", "starts with amqps://"),
    ("[broker]\nurl = \"amqp://mq\"\nca_file = \"ca.pem\"", "broker.ca_file", "starts with amqps://"),
    ("[broker]\nheartbeat = \"1500ms\"", "broker.heartbeat", "a whole number of seconds"),
    ("[broker]\nheartbeat = \"0s\"", "broker.heartbeat", "from 1s to 10m"),
    ("[broker]\nconnect_timeout = \"1h\"", "broker.connect_timeout", "from 100ms to 5m"),
    ("[broker]\npublish_timeout = \"1ms\"", "broker.publish_timeout", "from 100ms to 5m"),
    ("[broker]\npublish_timeout = \"40s\"", "broker.publish_timeout", "shorter than relay.lease, 30s"),
    ("[broker]\ndelivery_limit = 0", "broker.delivery_limit", "from 1 to 10000"),
    ("[broker.names]\nbulk = \"\"", "broker.names.bulk", "1 to 200 bytes"),
    ("[broker.names]\nevents = \"amq.topic\"", "broker.names.events", "must not start with amq."),
    ("[broker.names]\nbulk = \"user-merge.requests\"", "broker.names.bulk", "must differ from every other name; requests has it"),
    ("[broker.names]\ndead = \"user-merge.retry.1m\"", "broker.names.dead", "a retry queue has it"),
    ("[lanes.interactive]\nconcurrency = 0", "lanes.interactive.concurrency", "from 1 to 1000"),
    ("[lanes.interactive]\nprefetch = 70000", "lanes.interactive.prefetch", "a whole number up to 65535"),
    ("[lanes.interactive]\nbatch = 0", "lanes.interactive.batch", "from 1 to 1000"),
    ("[lanes.bulk]\nbatch = 1001", "lanes.bulk.batch", "from 1 to 1000"),
    ("[lanes.bulk]\nprefetch = 1001", "lanes.bulk.prefetch", "from 1 to 1000"),
    ("[lanes.bulk]\nprefetch = 2", "lanes.bulk.prefetch", "at least lanes.bulk.concurrency, 3"),
    ("[merge]\nticket_limit = -1", "merge.ticket_limit", "a whole number"),
    ("[merge]\nticket_limit = 0", "merge.ticket_limit", "from 1 to"),
    ("[merge]\nmove_archived_ccs = \"maybe\"", "merge.move_archived_ccs", "true or false"),
    ("[merge]\ncarry_social_identities = 1", "merge.carry_social_identities", "true or false"),
    ("[merge]\nslice = \"7m\"", "merge.slice", "from 1s to 6m"),
    ("[chunk]\ninitial = 10", "chunk.initial", "from chunk.min, 20, to chunk.max, 5000"),
    ("[chunk]\nmin = 6000", "chunk.min", "at most chunk.max, 5000"),
    ("[chunk]\nmax = 100001", "chunk.max", "from 1 to 100000"),
    ("[chunk]\ntarget_time = \"11s\"", "chunk.target_time", "from 1ms to 10s"),
    ("[chunk]\ntarget_time = \"2s\"\n[database]\nstatement_timeout = \"1s\"", "chunk.target_time", "shorter than database.statement_timeout"),
    ("[pace]\ninterval = \"1ms\"", "pace.interval", "from 50ms to 1m"),
    ("[pace]\nreplication_lag = \"1ms\"", "pace.replication_lag", "from 100ms to 10m, or 0s for none"),
    ("[pace]\nlock_waits = 10001", "pace.lock_waits", "from 0 to 10000"),
    ("[pace]\nwal_rate = -1", "pace.wal_rate", "a whole number"),
    ("[pace]\nstatement_time = \"2m\"", "pace.statement_time", "from 1ms to 1m, or 0s for none"),
    ("[retry]\nimmediate = 0", "retry.immediate", "from 1 to 20"),
    ("[retry]\nbase = 50", "retry.base", "a duration such as"),
    ("[retry]\nbase = \"1m\"", "retry.base", "from 1ms to 10s"),
    ("[retry]\ndelays = []", "retry.delays", "1 to 10 delays"),
    ("[retry]\ndelays = [\"10s\", \"10s\"]", "retry.delays", "longer than the one before"),
    ("[retry]\ndelays = [\"1500ms\", \"10s\"]", "retry.delays", "1s 500ms must be a whole number of seconds"),
    ("[retry]\ndelays = [\"10s\", \"2d\"]", "retry.delays", "must be from 1s to"),
    ("[retry]\ndelays = \"often\"", "retry.delays", "a list of durations"),
    ("[retry]\nmax_attempts = 0", "retry.max_attempts", "from 1 to 1000"),
    ("[retry]\nbreaker_after = 0", "retry.breaker_after", "from 1 to 1000"),
    ("[retry]\nbreaker_pause = \"1h\"", "retry.breaker_pause", "from 100ms to 10m"),
    ("[retry]\nconflict_delay = \"5s\"", "retry.conflict_delay", "one of retry.delays: 1s, 10s, 1m, 10m"),
    ("[retry]\nconflict_patience = \"5s\"", "retry.conflict_patience", "at least retry.conflict_delay, 10s"),
    ("[relay]\ninterval = \"0s\"", "relay.interval", "from 50ms to 1h"),
    ("[relay]\nbatch = 10001", "relay.batch", "from 1 to 10000"),
    ("[relay]\nlease = \"2h\"", "relay.lease", "from 1s to 1h"),
    ("[relay]\nkeep_published = \"0s\"", "relay.keep_published", "from 1m to"),
    ("[sweep]\ninterval = \"2d\"", "sweep.interval", "from 50ms to"),
    ("[sweep]\nwindow = \"0s\"", "sweep.window", "from 1m to"),
    ("[sweep]\nbatch = 0", "sweep.batch", "from 1 to 10000"),
    ("[sweep]\nstranded_after = \"15m\"", "sweep.stranded_after", "longer than merge.slice and the last of retry.delays together, 15m"),
    ("[sweep]\nstranded_after = \"31d\"", "sweep.stranded_after", "from 1s to"),
    ("[worker]\ngrace = \"1h\"", "worker.grace", "from 1s to 15m"),
    ("[worker]\nstuck_after = \"1s\"", "worker.stuck_after", "from 5s to"),
    ("[worker]\nstuck_after = \"1m\"", "worker.stuck_after", "at least 4 times database.statement_timeout, 30s"),
    ("[worker]\nstuck_after = \"5m\"\n[database]\nconnect_timeout = \"2m\"", "worker.stuck_after", "at least 4 times database.connect_timeout, 2m"),
    ("[telemetry]\nlisten = \"localhost\"", "telemetry.listen", "an address and port such as"),
    ("[telemetry]\nlog_format = \"xml\"", "telemetry.log_format", "auto, text or json"),
    ("[telemetry]\nlog_filter = \"info,sqlx=loud\"", "telemetry.log_filter", "a filter such as \"info\""),
];

#[test]
fn each_check_names_the_setting_and_what_would_be_right() {
    for (file, setting, right) in TABLE {
        let ConfigError::Invalid(problems) = load(file, &[]).unwrap_err() else {
            panic!("not TOML: {file}");
        };
        let [problem] = problems.as_slice() else {
            panic!("{file}: {problems:?}");
        };
        assert_eq!(problem.setting, *setting, "{file}: {problem}");
        assert!(problem.message.contains(right), "{file}: {problem}");
    }
}

#[test]
fn each_setting_with_a_rule_is_in_the_table() {
    let free = [
        "broker.names.requests",
        "broker.names.retry_prefix",
        "broker.names.deletion",
        "pace.ignored_standbys",
        "lanes.bulk.concurrency",
    ];
    for key in Settings::keys() {
        let there = TABLE.iter().any(|(_, setting, _)| *setting == key);
        assert!(
            there || free.contains(&key.as_str()),
            "{key} is not in the table"
        );
    }
}
