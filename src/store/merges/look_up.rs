//! What is on record about a request, before anything is decided.

use chrono::{DateTime, Utc};
use serde_json::Value;
use sqlx::PgConnection;

use super::{Progress, Record, State};
use crate::domain::{AccountId, CcCounts, MergeId, MergeRequest, Pair, TicketCounts, UserId};
use crate::store::{Error, Pairs, Result, count};

/// A merge recorded under a key.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// Which one, and since when.
    pub record: Record,
    /// The pair it is about.
    pub pair: Pair,
    /// Where it stands.
    pub state: State,
    /// It was admitted and is unfinished: finish it, don't ask again (rule R4).
    pub holds_users: bool,
    /// How far it is.
    pub progress: Progress,
    /// The event that announced its outcome (rule R1).
    pub outcome: Option<Value>,
}

/// The record's answer.
#[derive(Debug, Clone)]
pub struct Standing {
    /// The transaction's time, the only clock of a merge.
    pub now: DateTime<Utc>,
    /// What is recorded under this key.
    pub recorded: Option<Recorded>,
    /// Another unfinished merge holds one of the two in a role that conflicts (rule A10).
    pub conflicting: bool,
}

impl Standing {
    /// Whether the record alone says what becomes of a request: it is finished, or admitted (rule R4), or another
    /// pair's (rule R2).
    #[must_use]
    pub fn decides(&self, pair: Pair) -> bool {
        self.recorded.as_ref().is_some_and(|recorded| {
            let is_finished = matches!(recorded.state, State::Completed | State::Rejected);
            is_finished || recorded.holds_users || recorded.pair != pair
        })
    }
}

/// Looks requests of one account up by their keys, and their users among the unfinished merges. In the requests' order.
pub async fn look_up(
    connection: &mut PgConnection,
    requests: &[&MergeRequest],
) -> Result<Vec<Standing>> {
    let keys: Vec<&str> = requests
        .iter()
        .map(|request| request.idempotency_key.as_str())
        .collect();
    let pairs = Pairs::new(requests.iter().map(|request| request.pair()));
    let rows = sqlx::query_as!(
        Row,
        r#"
        SELECT
            now() AS "now!",
            m.id AS "id?", m.source_user_id AS "source?", m.target_user_id AS "target?", m.state AS "state?",
            coalesce(m.holds_users, false) AS "holds_users!", coalesce(m.fence, 0) AS "fence!",
            coalesce(m.attempts, 0) AS "attempts!", m.accepted_at AS "accepted_at?",
            coalesce(m.live, 0) AS "live!", coalesce(m.closed, 0) AS "closed!",
            coalesce(m.archived, 0) AS "archived!", coalesce(m.ccs_moved, 0) AS "ccs_moved!",
            coalesce(m.ccs_deduplicated, 0) AS "ccs_deduplicated!", m.outcome AS "outcome?",
            EXISTS (
                SELECT FROM user_merge.merges other
                WHERE other.account_id = $1 AND other.holds_users AND other.idempotency_key <> asked.key
                  AND other.source_user_id IN (asked.source, asked.target)
            ) OR EXISTS (
                SELECT FROM user_merge.merges other
                WHERE other.account_id = $1 AND other.holds_users AND other.idempotency_key <> asked.key
                  AND other.target_user_id = asked.source
            ) AS "conflicting!"
        FROM unnest($2::text[], $3::bigint[], $4::bigint[]) WITH ORDINALITY AS asked (key, source, target, n)
        -- Each by itself: while the table is new, the planner would rather read all of it.
        LEFT JOIN LATERAL (
            SELECT * FROM user_merge.merges m
            WHERE m.account_id = $1 AND m.idempotency_key = asked.key LIMIT 1
        ) m ON true
        ORDER BY asked.n
        "#,
        pairs.account,
        &keys as &[&str],
        &pairs.sources,
        &pairs.targets,
    )
    .fetch_all(connection)
    .await?;
    Error::expect_rows(
        "requests looked up",
        count(requests.len()),
        count(rows.len()),
    )?;
    std::iter::zip(rows, requests)
        .map(|(row, request)| row.standing(request.account_id))
        .collect()
}

struct Row {
    now: DateTime<Utc>,
    id: Option<MergeId>,
    source: Option<i64>,
    target: Option<i64>,
    state: Option<String>,
    holds_users: bool,
    fence: i64,
    attempts: i32,
    accepted_at: Option<DateTime<Utc>>,
    live: i64,
    closed: i64,
    archived: i64,
    ccs_moved: i64,
    ccs_deduplicated: i64,
    outcome: Option<Value>,
    conflicting: bool,
}

impl Row {
    fn standing(self, account: AccountId) -> Result<Standing> {
        let row = self;
        let recorded = match (row.id, row.source, row.target, row.state, row.accepted_at) {
            (Some(id), Some(source), Some(target), Some(state), Some(accepted_at)) => {
                Some(Recorded {
                    record: Record {
                        id,
                        accepted_at,
                        fence: row.fence,
                        attempts: row.attempts,
                    },
                    pair: Pair {
                        account,
                        source: user(source)?,
                        target: user(target)?,
                    },
                    state: State::parse(&state)?,
                    holds_users: row.holds_users,
                    progress: Progress {
                        tickets: TicketCounts {
                            live: row.live,
                            closed: row.closed,
                            archived: row.archived,
                        },
                        ccs: CcCounts {
                            moved: row.ccs_moved,
                            deduplicated: row.ccs_deduplicated,
                        },
                    },
                    outcome: row.outcome,
                })
            }
            _ => None,
        };
        Ok(Standing {
            now: row.now,
            recorded,
            conflicting: row.conflicting,
        })
    }
}

fn user(id: i64) -> Result<UserId> {
    UserId::try_from(id).map_err(|_| Error::Unreadable("user id"))
}

/// A merge of the same source that was completed earlier, under whatever key.
#[derive(Debug, Clone)]
pub struct Earlier {
    /// The merge.
    pub id: MergeId,
    /// Whom it put the source into.
    pub target: UserId,
    /// Who that is today: the target may have been merged on (rule D3).
    pub today: UserId,
    /// The event that announced it.
    pub outcome: Value,
}

impl Earlier {
    /// Whether the source is merged into this user, by that merge or by one that followed.
    #[must_use]
    pub fn leads_to(&self, target: UserId) -> bool {
        self.target == target || self.today == target
    }
}

/// Finds the completed merge of a source: into this very target if there was one, else the first
/// (rules A3 and R3).
pub async fn earlier(connection: &mut PgConnection, pair: Pair) -> Result<Option<Earlier>> {
    let row = sqlx::query!(
        r#"
        SELECT id, target_user_id, outcome AS "outcome!",
               coalesce(user_merge.canonical_user($1, target_user_id), target_user_id) AS "today!"
        FROM user_merge.merges
        WHERE account_id = $1 AND source_user_id = $2 AND state = 'completed'
        ORDER BY target_user_id <> $3, completed_at, id
        LIMIT 1
        "#,
        pair.account.get(),
        pair.source.get(),
        pair.target.get(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(|row| {
        Ok(Earlier {
            id: row.id,
            target: user(row.target_user_id)?,
            today: user(row.today)?,
            outcome: row.outcome,
        })
    })
    .transpose()
}

/// Who a user is today; the user itself where nobody knows (rules A3 and A4).
pub async fn canonical_user(
    connection: &mut PgConnection,
    account: AccountId,
    id: UserId,
) -> Result<UserId> {
    let today = sqlx::query_scalar!(
        r#"SELECT coalesce(user_merge.canonical_user($1, $2), $2) AS "today!""#,
        account.get(),
        id.get(),
    )
    .fetch_one(connection)
    .await?;
    user(today)
}
