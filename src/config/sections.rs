//! Every setting with its type and its rule, section by section. The defaults are in
//! `config/default.toml`, which must name each of them; a test compares.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use super::log_format::LogFormat;
use super::reader::{Reader, Setting};
use super::rules::{
    broker_name, days, directives, growing_delays, hours, lasting, lasting_seconds, minutes, ms,
    off_or, seconds, secret_url, secret_urls, within,
};
use super::section::{join, sections};

sections! {
    /// All settings.
    Settings {
        /// The help desk's database.
        database: Database,
        /// The broker.
        broker: Broker,
        /// How much runs at once.
        lanes: Lanes,
        /// Limits and choices of the merge itself.
        merge: Merge,
        /// How large merges are cut.
        chunk: Chunk,
        /// How the database's health slows large and bulk merges down.
        pace: Pace,
        /// What happens after an error that may pass.
        retry: Retry,
        /// What publishes what a crash left behind.
        relay: Relay,
        /// What moves tickets on that still reach a merged user.
        sweep: Sweep,
        /// The process.
        worker: Worker,
        /// Logs, metrics, health.
        telemetry: Telemetry,
    }

    /// `[database]`: where the help desk's tables are.
    Database {
        /// Where it is and who asks; ask for it with [`Database::require_url`].
        url: Option<SecretString> => secret_url(&["postgres", "postgresql"], "postgres://user:password@host/database"),
        /// Connections of this process, at most.
        max_connections: u32 => within(1, 1000),
        /// Patience for a connection, new or from the pool.
        connect_timeout: Duration => lasting(ms(100), minutes(5)),
        /// Patience for a lock. Well below the server's `deadlock_timeout` (1 s), so that in a deadlock
        /// the merge backs out and not the help desk, even at its second or third wait.
        lock_timeout: Duration => lasting(ms(10), minutes(1)),
        /// The longest that one statement may take.
        statement_timeout: Duration => lasting(seconds(1), minutes(10)),
    }

    /// `[broker]`: how messages come and go.
    Broker {
        /// Where it is, or where the nodes of its cluster are, and who asks; ask for it with
        /// [`Broker::require_url`].
        url: Option<SecretString> => secret_urls(&["amqp", "amqps"], "amqps://user:password@host/vhost, for a cluster amqps://user:password@host,host,host/vhost"),
        /// The certificate authority (PEM) that signed the broker's certificate, besides the system's.
        ca_file: Option<PathBuf>,
        /// How often both sides say that they are there; a connection silent for twice as long is dead.
        heartbeat: Duration => lasting_seconds(seconds(1), minutes(10)),
        /// Patience for a connection.
        connect_timeout: Duration => lasting(ms(100), minutes(5)),
        /// Patience for the broker's confirm of a message, and for an acknowledgement to be sent.
        publish_timeout: Duration => lasting(ms(100), minutes(5)),
        /// Deliveries of one message before the broker itself dead-letters it: a backstop against
        /// requests that crash the worker. Part of the queues' declaration.
        delivery_limit: u32 => within(1, 10_000),
        /// What queues and exchange are called.
        names: Names,
    }

    /// `[broker.names]`: an organization has its own naming.
    Names {
        /// Queue of the interactive lane.
        requests: String => broker_name,
        /// Queue of the bulk lane.
        bulk: String => broker_name,
        /// The retry queues, one per delay, are called this, a dot and the delay.
        retry_prefix: String => broker_name,
        /// Queue of unreadable and exhausted requests.
        dead: String => broker_name,
        /// The deletion pipeline's queue.
        deletion: String => broker_name,
        /// Topic exchange of the outcomes.
        events: String => broker_name,
    }

    /// `[lanes]`: backfills never hold up the interactive lane.
    Lanes {
        /// `[lanes.interactive]`.
        interactive: Lane,
        /// `[lanes.bulk]`.
        bulk: Lane,
    }

    /// One lane.
    Lane {
        /// Merges at once.
        concurrency: u16 => within(1, 1000),
        /// Requests that may share a transaction, where so many are there; 1 is one by one.
        batch: u16 => within(1, 1000),
        /// Messages taken from the queue ahead of their turn, those at work included.
        prefetch: u16 => within(1, 1000),
    }

    /// `[merge]`: limits and choices.
    Merge {
        /// Tickets that a user may request at most to be merged, inclusive (rule A8).
        ticket_limit: u32 => within(1, 10_000_000),
        /// Whether CCs on archived tickets move too (rule T4).
        move_archived_ccs: bool,
        /// Whether X and other social accounts are carried over (rule P15).
        carry_social_identities: bool,
        /// A merge that takes longer goes on in a message of its own. Four of these are well below the 30 minutes
        /// after which the broker takes a message back.
        slice: Duration => lasting(seconds(1), minutes(6)),
    }

    /// `[chunk]`: a large merge moves tickets in chunks, sized by how long they hold their locks.
    Chunk {
        /// Rows in the first chunk.
        initial: u32 => within(1, 100_000),
        /// Rows in a chunk, at least.
        min: u32 => within(1, 100_000),
        /// Rows in a chunk, at most.
        max: u32 => within(1, 100_000),
        /// How long a chunk should hold its locks at most.
        target_time: Duration => lasting(ms(1), seconds(10)),
    }

    /// `[pace]`: what slows bulk merges, and large ones between their chunks, down. Each limit: 0 is none.
    Pace {
        /// How often the database's health is looked at.
        interval: Duration => lasting(ms(50), minutes(1)),
        /// How far the slowest standby may be behind.
        replication_lag: Duration => off_or(lasting(ms(100), minutes(10))),
        /// Names (`application_name`) of standbys that are behind on purpose, commas between.
        ignored_standbys: String,
        /// Sessions in the database that may wait for locks at once.
        lock_waits: u32 => within(0, 10_000),
        /// MiB a second that may be written to the database's log (WAL).
        wal_rate: u32 => within(0, 100_000),
        /// How long a small statement may take, and a chunk beyond its target.
        statement_time: Duration => off_or(lasting(ms(1), minutes(1))),
    }

    /// `[retry]`: what happens after an error that may pass (rule R7).
    Retry {
        /// Tries within the worker before the message is put off.
        immediate: u32 => within(1, 20),
        /// Pause after the first of these tries; it doubles, with jitter.
        base: Duration => lasting(ms(1), seconds(10)),
        /// Delays of the retry queues, in the order in which a message goes through them; the last repeats.
        delays: Vec<Duration> => growing_delays,
        /// Times that a message is taken up before its merge is failed.
        max_attempts: u32 => within(1, 1000),
        /// So many merges of a lane that fail one after the other open its breaker.
        breaker_after: u16 => within(1, 1000),
        /// The longest pause until it lets one through to see.
        breaker_pause: Duration => lasting(ms(100), minutes(10)),
        /// How long a merge waits for a conflicting one (rule A10); one of the delays.
        conflict_delay: Duration => lasting_seconds(seconds(1), hours(24)),
        /// How long it does so in all before it is failed (rule A10).
        conflict_patience: Duration => lasting(seconds(1), days(30)),
    }

    /// `[relay]`: publishes what a crash left in the outbox.
    Relay {
        /// How often it looks.
        interval: Duration => lasting(ms(50), hours(1)),
        /// Messages per look.
        batch: u32 => within(1, 10_000),
        /// How long a message that is being published belongs to who took it.
        lease: Duration => lasting(seconds(1), hours(1)),
        /// How long published messages stay in the outbox, for questions.
        keep_published: Duration => lasting(minutes(1), days(3650)),
    }

    /// `[sweep]`: moves tickets on that still reach a merged user (rule D4), and finds merges that stand still.
    Sweep {
        /// How often it looks.
        interval: Duration => lasting(ms(50), hours(24)),
        /// How long after its merge a user is looked after.
        window: Duration => lasting(minutes(1), days(3650)),
        /// Users per look.
        batch: u32 => within(1, 10_000),
        /// How long an unfinished merge is left alone before its request is enqueued again. Longer than
        /// anything that keeps one waiting in the ordinary course.
        stranded_after: Duration => lasting(seconds(1), days(30)),
    }

    /// `[worker]`: the process.
    Worker {
        /// How long it may take to finish what it is at, once told to stop.
        grace: Duration => lasting(seconds(1), minutes(15)),
        /// A loop, or a merge at work, that gives no sign of life for so long is stuck, and the process ends.
        stuck_after: Duration => lasting(seconds(5), hours(24)),
    }

    /// `[telemetry]`: logs, metrics, health.
    Telemetry {
        /// Address of `/metrics`, `/healthz` and `/readyz`; port 0 takes a free one, none is off.
        listen: Option<SocketAddr>,
        /// How log lines look.
        log_format: LogFormat,
        /// Which log lines are written; the variable `RUST_LOG` goes over it.
        log_filter: String => directives,
    }
}
