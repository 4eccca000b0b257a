//! What can go wrong with the database, and whether it may pass. The one place that decides (rule R7).

use std::borrow::Cow;

use sqlx::postgres::{PgDatabaseError, PgSeverity};

/// A statement that did not do its work. Never quotes a row: PostgreSQL's messages can.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL said no, or could not be asked.
    #[error("{}{}", said(label), .place.as_deref().map(|p| format!(" ({p})")).unwrap_or_default())]
    Database {
        /// The SQLSTATE, or a word for what kept it from answering.
        label: Cow<'static, str>,
        /// The constraint or the table that it named.
        place: Option<String>,
        /// Whether it may pass.
        passing: bool,
        /// Whether the database as a whole, not this statement, is what failed.
        outage: bool,
    },
    /// Another worker holds the merge by now (rule R5).
    #[error("another worker has taken the merge over")]
    Fenced,
    /// Something of the source is left although all of it was moved (rule D1).
    #[error("something still belongs to the source user: {0}")]
    Leftover(&'static str),
    /// A statement touched another number of rows than it must.
    #[error("{what}: {touched} rows touched instead of {expected}")]
    RowCount {
        /// What it should have written.
        what: &'static str,
        /// How many rows it should have been.
        expected: i64,
        /// How many it was.
        touched: i64,
    },
    /// A recorded value that this version can't read.
    #[error("the recorded {0} can't be read by this version")]
    Unreadable(&'static str),
}

impl Error {
    /// Whether the same work may succeed a little later.
    #[must_use]
    pub const fn is_passing(&self) -> bool {
        match self {
            Self::Database { passing, .. } => *passing,
            // Rows changed between reading and writing: read them again.
            Self::Fenced | Self::Leftover(_) | Self::RowCount { .. } => true,
            Self::Unreadable(_) => false,
        }
    }

    /// Whether the database could not be reached or was shutting down: no fault of the merge.
    #[must_use]
    pub const fn is_outage(&self) -> bool {
        matches!(self, Self::Database { outage: true, .. })
    }

    /// Whether the next merge is likely to meet the same: what the server lacks or is too slow for, or what it
    /// refuses everyone, and not what this merge's rows are like.
    #[must_use]
    pub fn may_hit_all(&self) -> bool {
        match self {
            Self::Database { label, passing, .. } => {
                (*passing && !label.starts_with("23")) || label.starts_with("42")
            }
            _ => false,
        }
    }

    /// Whether the server knows neither this user and password nor this database. A worker that is at work waits
    /// even then, for somebody may be changing a password; one that starts says so and ends.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Database { label, .. } => label.starts_with("28") || label == "3D000",
            _ => false,
        }
    }

    /// Whether the same worker should try again at once: it may pass, the database is there, and the merge
    /// is still this worker's.
    #[must_use]
    pub const fn is_worth_another_try(&self) -> bool {
        self.is_passing() && !self.is_outage() && !matches!(self, Self::Fenced)
    }

    /// A stable word for metrics, events and headers: an SQLSTATE or a name.
    #[must_use]
    pub fn label(&self) -> Cow<'static, str> {
        match self {
            Self::Database { label, .. } => label.clone(),
            Self::Fenced => "fenced".into(),
            Self::Leftover(_) => "leftover".into(),
            Self::RowCount { .. } => "row_count".into(),
            Self::Unreadable(_) => "unreadable_record".into(),
        }
    }

    /// A word from a fixed list, for a metric's label.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match self {
            Self::Database { label, .. } => class(label),
            Self::Fenced => "fenced",
            Self::Leftover(_) => "leftover",
            Self::RowCount { .. } => "row_count",
            Self::Unreadable(_) => "unreadable_record",
        }
    }

    /// Fails unless a statement touched as many rows as it must.
    pub(crate) const fn expect_rows(
        what: &'static str,
        expected: i64,
        touched: i64,
    ) -> Result<(), Self> {
        if expected == touched {
            Ok(())
        } else {
            Err(Self::RowCount {
                what,
                expected,
                touched,
            })
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        let unreachable = |label: &'static str| Self::Database {
            label: label.into(),
            place: None,
            passing: true,
            outage: true,
        };
        match error {
            sqlx::Error::Database(error) => {
                let code = error
                    .code()
                    .map_or_else(|| "unknown".to_owned(), Cow::into_owned);
                let error = error.try_downcast_ref::<PgDatabaseError>();
                let place = error
                    .and_then(|e| e.constraint().or_else(|| e.table()))
                    .map(str::to_owned);
                let outage =
                    is_outage(&code) || error.is_some_and(|e| ends_all(e.severity(), &code));
                Self::Database {
                    passing: outage || may_pass(&code),
                    outage,
                    label: code.into(),
                    place,
                }
            }
            sqlx::Error::Io(_) => unreachable("io"),
            sqlx::Error::Tls(_) => unreachable("tls"),
            sqlx::Error::Protocol(_) => unreachable("protocol"),
            sqlx::Error::PoolTimedOut => unreachable("pool_timed_out"),
            sqlx::Error::PoolClosed => unreachable("pool_closed"),
            sqlx::Error::WorkerCrashed => unreachable("connection_lost"),
            sqlx::Error::BeginFailed => unreachable("begin_failed"),
            // All others are mistakes of this program or its settings: a column that doesn't decode, say.
            _ => Self::Database {
                label: "client".into(),
                place: None,
                passing: false,
                outage: false,
            },
        }
    }
}

#[cfg(debug_assertions)]
impl From<crate::failpoint::Fault> for Error {
    /// As if another transaction had come between.
    fn from(fault: crate::failpoint::Fault) -> Self {
        Self::Database {
            label: "40001".into(),
            place: Some(fault.0.name().to_owned()),
            passing: true,
            outage: false,
        }
    }
}

/// The database as a whole is away: connection errors, shutdown, crash, start-up, a database that was dropped, a
/// session ended for idling, too many connections, read-only.
fn is_outage(sqlstate: &str) -> bool {
    // 08P01 alone is said of one message too: it is an outage only where it ends the session.
    (sqlstate.starts_with("08") && sqlstate != "08P01")
        || sqlstate.starts_with("57P")
        || matches!(sqlstate, "53300" | "25006")
}

/// Whether the server ended the session, or never began it: a password that is being changed, a database that
/// takes no connections (55000), an operator's `pg_terminate_backend`. Not this statement's doing, except where
/// its transaction sat idle (25P03) or lasted (25P04) for too long.
fn ends_all(severity: PgSeverity, sqlstate: &str) -> bool {
    matches!(severity, PgSeverity::Fatal | PgSeverity::Panic)
        && !matches!(sqlstate, "25P03" | "25P04")
}

/// The label as a sentence.
fn said(label: &str) -> String {
    if label.len() == 5 && !label.bytes().any(|b| b.is_ascii_lowercase()) {
        format!("the database answered {label}")
    } else if label == "client" {
        "the answer of the database can't be understood".to_owned()
    } else {
        format!("the database can't be reached ({label})")
    }
}

/// <https://www.postgresql.org/docs/current/errcodes-appendix.html>
fn may_pass(sqlstate: &str) -> bool {
    let class = sqlstate.get(..2).unwrap_or_default();
    match class {
        // Connection lost; serialization and deadlock; out of disk, memory or connections; operator's stop,
        // time-outs; a lock that was not to be had (55P03); system errors such as a failing disk.
        // A snapshot that was too old (72) is a new one next time.
        "08" | "40" | "53" | "57" | "58" | "72" => true,
        // An object that somebody else uses at the moment, and a lock.
        "55" => matches!(sqlstate, "55006" | "55P03"),
        // A standby that is about to become primary, or a pooler that has not noticed; a transaction that sat
        // idle, or lasted, for longer than the server allows.
        "25" => matches!(sqlstate, "25006" | "25P03" | "25P04"),
        // A row came or went between reading and writing: the next look decides.
        "23" => matches!(sqlstate, "23503" | "23505"),
        _ => false,
    }
}

fn class(label: &str) -> &'static str {
    match label {
        "40P01" => "deadlock",
        "40001" => "serialization",
        "55P03" => "lock_timeout",
        "57014" => "statement_timeout",
        "25P03" | "25P04" => "transaction_timeout",
        "53100" => "disk_full",
        "53300" => "too_many_connections",
        "25006" => "read_only",
        "23503" | "23505" => "race",
        "42501" => "permission",
        "pool_timed_out" => "pool_timed_out",
        "io" | "tls" | "protocol" | "pool_closed" | "connection_lost" | "begin_failed" => {
            "connection"
        }
        other if other.starts_with("08") || other.starts_with("57P") => "connection",
        other if other.starts_with("53") || other.starts_with("58") => "server",
        other if other.starts_with("42") => "schema",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r7_what_may_pass_is_told_by_sqlstate() {
        let passing = [
            "08000", "08001", "08003", "08004", "08006", "08007", "08P01", "40001", "40003",
            "40P01", "53000", "53100", "53200", "53300", "53400", "55006", "55P03", "57014",
            "57P01", "57P02", "57P03", "57P04", "57P05", "58000", "58030", "72000", "25006",
            "25P03", "25P04", "23503", "23505",
        ];
        for code in passing {
            assert!(may_pass(code), "{code}");
        }
        let lasting = [
            "22001", "23502", "23514", "42501", "42703", "42P01", "25001", "25P02", "54001",
            "55000", "55P02", "P0001", "XX000", "XX001", "", "é",
        ];
        for code in lasting {
            assert!(!may_pass(code), "{code}");
        }
    }

    #[test]
    fn an_outage_is_no_fault_of_the_merge() {
        assert!(Error::from(sqlx::Error::PoolTimedOut).is_outage());
        for code in [
            "08001", "08006", "25006", "53300", "57P01", "57P02", "57P03", "57P04", "57P05",
        ] {
            assert!(is_outage(code) && may_pass(code), "{code}");
        }
        for code in [
            "08P01", "25P03", "25P04", "40P01", "53100", "55P03", "57014", "58030",
        ] {
            assert!(!is_outage(code) && may_pass(code), "{code}");
        }
    }

    #[test]
    fn what_may_hit_all_is_the_servers_state_and_not_a_merges_rows() {
        let error = |label: &'static str| Error::Database {
            label: label.into(),
            place: None,
            passing: may_pass(label),
            outage: is_outage(label),
        };
        for code in [
            "53100", "57014", "55P03", "40P01", "58030", "42501", "42703",
        ] {
            assert!(error(code).may_hit_all(), "{code}");
        }
        for code in ["23503", "23505", "23514", "22001", "P0001", "XX000"] {
            assert!(!error(code).may_hit_all(), "{code}");
        }
        assert!(!Error::Fenced.may_hit_all() && !Error::Leftover("tickets").may_hit_all());
    }

    #[test]
    fn r7_an_end_of_the_session_is_no_fault_of_the_merge() {
        // 55000: the database takes no connections; 28P01: its password was changed.
        for code in ["55000", "28P01", "3D000", "57P01"] {
            assert!(ends_all(PgSeverity::Fatal, code), "{code}");
            assert!(!ends_all(PgSeverity::Error, code), "{code}");
        }
        for code in ["25P03", "25P04"] {
            assert!(
                !ends_all(PgSeverity::Fatal, code),
                "a merge that overstays in its transaction must not be tried for ever"
            );
        }
    }

    #[test]
    fn a_label_is_said_as_a_sentence() {
        assert_eq!(said("55P03"), "the database answered 55P03");
        assert_eq!(
            said("pool_timed_out"),
            "the database can't be reached (pool_timed_out)"
        );
    }

    #[test]
    fn a_wrong_number_of_rows_is_an_error() {
        assert!(Error::expect_rows("tombstone", 1, 1).is_ok());
        let error = Error::expect_rows("tombstone", 1, 0).unwrap_err();
        assert!(error.is_passing());
        assert_eq!(error.to_string(), "tombstone: 0 rows touched instead of 1");
    }
}
