//! The end of merges: their states, their recorded outcomes and the messages they promise, in one statement.

use serde_json::Value;
use sqlx::PgConnection;

use super::{Envelope, Progress, Record, State};
use crate::domain::{MergeId, Reason};
use crate::store::outbox::{self, Draft, Promised};
use crate::store::{Error, Result, count};

/// How a merge ends.
#[derive(Debug, Clone)]
pub struct Settlement<'a> {
    /// The request.
    pub envelope: Envelope<'a>,
    /// The merge row; it is inserted if it isn't there.
    pub record: Record,
    /// Completed, rejected or failed.
    pub state: State,
    /// What was moved in all.
    pub progress: Progress,
    /// Why it was refused.
    pub rejection: Option<Reason>,
    /// A stable word for why it failed.
    pub last_error: Option<&'a str>,
    /// The event that announces it, promised and kept to be repeated (rule R1).
    pub event: Draft,
    /// What else it promises; goes before the event.
    pub drafts: Vec<Draft>,
}

/// Writes the end of merges of one account and, in the same statement, the messages that follow from them (rules D1, D2): in the
/// merges' order, each with its own. A failed merge that has moved something goes on holding its users: half a merge
/// must not be overtaken.
///
/// # Errors
/// [`Error::Fenced`] where another worker holds one of the merges or has finished it.
pub async fn settle(
    connection: &mut PgConnection,
    settlements: Vec<Settlement<'_>>,
    lease_seconds: f64,
) -> Result<Vec<Vec<Promised>>> {
    let columns = Columns::of(&settlements);
    let promises = outbox::Columns::of(settlements.iter().flat_map(Settlement::promises));
    let (places, bodies) = bodies(&settlements);
    let row = sqlx::query!(
        r#"
        WITH merge AS (
            INSERT INTO user_merge.merges AS m
                (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane,
                 correlation_id, traceparent, state, holds_users, fence, attempts, last_error,
                 live, closed, archived, ccs_moved, ccs_deduplicated, rejection, outcome, completed_at)
            SELECT $1, s.id, s.idempotency_key, s.source, s.target, s.requested_by, s.reason, s.lane,
                   s.correlation_id, s.traceparent, s.state, s.holds_users, s.fence, s.attempts, s.last_error,
                   s.live, s.closed, s.archived, s.ccs_moved, s.ccs_deduplicated, s.rejection, s.outcome::jsonb,
                   CASE WHEN s.state <> 'failed' THEN now() END
            FROM unnest($2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
                        $8::text[], $9::text[], $10::text[], $11::text[], $12::boolean[], $13::bigint[],
                        $14::integer[], $15::text[], $16::bigint[], $17::bigint[], $18::bigint[], $19::bigint[],
                        $20::bigint[], $21::text[], $22::text[])
                 AS s (id, idempotency_key, source, target, requested_by, reason,
                       lane, correlation_id, traceparent, state, holds_users, fence,
                       attempts, last_error, live, closed, archived, ccs_moved,
                       ccs_deduplicated, rejection, outcome)
            ON CONFLICT (account_id, id) DO UPDATE
            SET state = excluded.state, holds_users = excluded.holds_users, attempts = excluded.attempts,
                last_error = excluded.last_error, live = excluded.live, closed = excluded.closed,
                archived = excluded.archived, ccs_moved = excluded.ccs_moved,
                ccs_deduplicated = excluded.ccs_deduplicated, rejection = excluded.rejection,
                outcome = excluded.outcome, completed_at = excluded.completed_at, updated_at = now()
            WHERE m.fence = excluded.fence AND m.state IN ('running', 'failed')
            RETURNING id
        ), promised AS (
            INSERT INTO user_merge.outbox
                (account_id, merge_id, destination, routing_key, message_id, headers, body,
                 correlation_id, traceparent, claimed_until)
            -- An event is the outcome, and is sent here once.
            SELECT $1, d.merge_id, d.destination, d.routing_key, d.message_id, d.headers,
                   coalesce(d.body, ($22)[d.place]),
                   d.correlation_id, d.traceparent, now() + make_interval(secs => $31)
            FROM unnest($23::uuid[], $24::text[], $25::text[], $26::text[], $27::jsonb[], $28::text[],
                        $29::text[], $30::text[], $33::integer[])
                 WITH ORDINALITY AS d (merge_id, destination, routing_key, message_id, headers,
                                       body, correlation_id, traceparent, place, n)
            WHERE (SELECT count(*) FROM merge) = $32
            ORDER BY d.n
            RETURNING id
        )
        SELECT (SELECT count(*) FROM merge) AS "merges!",
               (SELECT coalesce(array_agg(id ORDER BY id), '{}') FROM promised) AS "ids!"
        "#,
        columns.account,
        &columns.ids,
        &columns.keys as &[&str],
        &columns.sources,
        &columns.targets,
        &columns.requested_by as &[Option<&str>],
        &columns.reasons as &[Option<&str>],
        &columns.lanes as &[&str],
        &columns.correlation_ids as &[Option<&str>],
        &columns.traceparents as &[Option<&str>],
        &columns.states as &[&str],
        &columns.holds_users,
        &columns.fences,
        &columns.attempts,
        &columns.last_errors as &[Option<&str>],
        &columns.live,
        &columns.closed,
        &columns.archived,
        &columns.ccs_moved,
        &columns.ccs_deduplicated,
        &columns.rejections as &[Option<&str>],
        &columns.outcomes as &[&str],
        &promises.merges,
        &promises.destinations as &[&str],
        &promises.routing_keys as &[&str],
        &promises.message_ids as &[&str],
        &promises.headers as &[Option<&Value>],
        &bodies as &[Option<&str>],
        &promises.correlation_ids as &[Option<&str>],
        &promises.traceparents as &[Option<&str>],
        lease_seconds,
        count(settlements.len()),
        &places,
    )
    .fetch_one(connection)
    .await?;
    if row.merges != count(settlements.len()) {
        return Err(Error::Fenced);
    }
    Error::expect_rows("outbox rows", count(bodies.len()), count(row.ids.len()))?;
    Ok(with_ids(settlements, row.ids))
}

/// The messages of each, under the ids of their rows, which come in the same order.
fn with_ids(settlements: Vec<Settlement<'_>>, ids: Vec<i64>) -> Vec<Vec<Promised>> {
    let mut ids = ids.into_iter();
    let each = settlements.into_iter().map(|settlement| {
        let Settlement {
            envelope,
            record,
            event,
            mut drafts,
            ..
        } = settlement;
        drafts.push(event);
        Promised::pair_up(envelope, record.id, drafts, &mut ids)
    });
    each.collect()
}

impl Settlement<'_> {
    fn promises(&self) -> impl Iterator<Item = (Envelope<'_>, MergeId, &Draft)> {
        let drafts = self.drafts.iter().chain([&self.event]);
        drafts.map(|draft| (self.envelope, self.record.id, draft))
    }
}

/// For each message the number of its settlement, and the body, unless it is the outcome, which is sent with the
/// settlement.
fn bodies<'a>(settlements: &'a [Settlement<'_>]) -> (Vec<i32>, Vec<Option<&'a str>>) {
    let numbered = (1..).zip(settlements);
    let each = numbered.flat_map(|(place, settlement)| {
        let others = settlement.drafts.iter();
        let bodies = others.map(|draft| Some(draft.body.as_str())).chain([None]);
        bodies.map(move |body| (place, body))
    });
    each.unzip()
}

/// The settlements by column.
#[derive(Default)]
struct Columns<'a> {
    account: i64,
    ids: Vec<MergeId>,
    keys: Vec<&'a str>,
    sources: Vec<i64>,
    targets: Vec<i64>,
    requested_by: Vec<Option<&'a str>>,
    reasons: Vec<Option<&'a str>>,
    lanes: Vec<&'a str>,
    correlation_ids: Vec<Option<&'a str>>,
    traceparents: Vec<Option<&'a str>>,
    states: Vec<&'a str>,
    holds_users: Vec<bool>,
    fences: Vec<i64>,
    attempts: Vec<i32>,
    last_errors: Vec<Option<&'a str>>,
    live: Vec<i64>,
    closed: Vec<i64>,
    archived: Vec<i64>,
    ccs_moved: Vec<i64>,
    ccs_deduplicated: Vec<i64>,
    rejections: Vec<Option<&'a str>>,
    outcomes: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(settlements: &'a [Settlement<'_>]) -> Self {
        let mut columns = Self::default();
        for settlement in settlements {
            columns.add(settlement);
        }
        columns
    }

    fn add(&mut self, settlement: &'a Settlement<'_>) {
        let Settlement {
            envelope,
            record,
            state,
            progress,
            ..
        } = settlement;
        let Progress { tickets, ccs } = progress;
        let request = envelope.request;
        self.account = request.account_id.get();
        self.ids.push(record.id);
        self.keys.push(request.idempotency_key.as_str());
        self.sources.push(request.source_user_id.get());
        self.targets.push(request.target_user_id.get());
        self.requested_by.push(request.requested_by.as_deref());
        self.reasons.push(request.reason.as_deref());
        self.lanes.push(envelope.lane);
        self.correlation_ids.push(envelope.correlation_id);
        self.traceparents.push(envelope.traceparent);
        self.states.push(state.label());
        self.holds_users
            .push(*state == State::Failed && progress.has_moved());
        self.fences.push(record.fence);
        self.attempts.push(record.attempts);
        self.last_errors.push(settlement.last_error);
        self.live.push(tickets.live);
        self.closed.push(tickets.closed);
        self.archived.push(tickets.archived);
        self.ccs_moved.push(ccs.moved);
        self.ccs_deduplicated.push(ccs.deduplicated);
        self.rejections
            .push(settlement.rejection.map(Reason::label));
        self.outcomes.push(&settlement.event.body);
    }
}
