-- The worker's own tables. The help desk's are never altered from here.

-- One row a merge request: its state, its progress, and at the end its recorded outcome (rule R1).
CREATE TABLE user_merge.merges (
    account_id       bigint NOT NULL,
    id               uuid NOT NULL,
    idempotency_key  text NOT NULL,
    source_user_id   bigint NOT NULL,
    target_user_id   bigint NOT NULL,
    requested_by     text,
    reason           text,
    lane             text NOT NULL,
    correlation_id   text,
    traceparent      text,
    state            text NOT NULL CHECK (state IN ('running', 'completed', 'rejected', 'failed')),
    -- The merge was admitted and is unfinished: its users take part in it (rule A10).
    holds_users      boolean NOT NULL DEFAULT false,
    -- Raised by each worker that takes the merge over; a chunk of an older one does nothing (rule R5).
    fence            bigint NOT NULL DEFAULT 0,
    attempts         integer NOT NULL DEFAULT 0,
    -- A stable label, or an SQLSTATE: never a message, which could quote a row.
    last_error       text,
    live             bigint NOT NULL DEFAULT 0,
    closed           bigint NOT NULL DEFAULT 0,
    archived         bigint NOT NULL DEFAULT 0,
    ccs_moved        bigint NOT NULL DEFAULT 0,
    ccs_deduplicated bigint NOT NULL DEFAULT 0,
    -- Tickets and CCs that reached the source after the merge and were moved on (rule D4).
    late             bigint NOT NULL DEFAULT 0,
    rejection        text,
    -- The outcome event as it was announced.
    outcome          jsonb,
    accepted_at      timestamptz NOT NULL DEFAULT now(),
    updated_at       timestamptz NOT NULL DEFAULT now(),
    completed_at     timestamptz,
    PRIMARY KEY (account_id, id),
    UNIQUE (account_id, idempotency_key),
    CHECK (NOT holds_users OR state IN ('running', 'failed')),
    CHECK (state NOT IN ('completed', 'rejected') OR (outcome IS NOT NULL AND completed_at IS NOT NULL))
) WITH (fillfactor = 80);

-- A source is exclusive: the database's own word for rule A10.
CREATE UNIQUE INDEX merges_held_source ON user_merge.merges (account_id, source_user_id) WHERE holds_users;
CREATE INDEX merges_held_target ON user_merge.merges (account_id, target_user_id) WHERE holds_users;
-- Who was merged, and when: answers for a pair (rule R3), for canonical_user, and for the sweep (rule D4).
CREATE INDEX merges_source ON user_merge.merges (account_id, source_user_id) WHERE state = 'completed';
CREATE INDEX merges_completed ON user_merge.merges (completed_at, account_id, id) WHERE state = 'completed';

-- Messages that a commit has promised (rule D2). Published ones stay for a while, as evidence.
CREATE TABLE user_merge.outbox (
    account_id     bigint NOT NULL,
    id             bigint GENERATED ALWAYS AS IDENTITY (CACHE 50),
    merge_id       uuid NOT NULL,
    destination    text NOT NULL CHECK (destination IN ('deletion', 'event', 'dead')),
    routing_key    text NOT NULL DEFAULT '',
    message_id     text NOT NULL,
    correlation_id text,
    traceparent    text,
    headers        jsonb,
    body           text NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    -- Whoever is publishing the row has it until then; afterwards the relay takes it up.
    claimed_until  timestamptz NOT NULL,
    published_at   timestamptz,
    PRIMARY KEY (account_id, id)
) WITH (fillfactor = 70);

CREATE INDEX outbox_pending ON user_merge.outbox (claimed_until) WHERE published_at IS NULL;
CREATE INDEX outbox_merge ON user_merge.outbox (account_id, merge_id);

-- Who a user is today: itself, or whoever it was merged into; NULL where nobody knows the id.
-- One hop for a merged user (rule D3); where its row is gone, the recorded merges lead on.
CREATE FUNCTION user_merge.canonical_user(account_id bigint, user_id bigint) RETURNS bigint
LANGUAGE sql STABLE PARALLEL SAFE AS $$
    WITH RECURSIVE hop (id, merged_into, known, depth) AS (
        SELECT $2, u.merged_into, u.id IS NOT NULL, 0
        FROM (SELECT) one LEFT JOIN helpdesk.users u ON u.account_id = $1 AND u.id = $2
        UNION ALL
        SELECT next.id, u.merged_into, u.id IS NOT NULL, hop.depth + 1
        FROM hop
        CROSS JOIN LATERAL (
            SELECT coalesce(hop.merged_into, (
                SELECT m.target_user_id FROM user_merge.merges m
                WHERE NOT hop.known AND m.account_id = $1 AND m.source_user_id = hop.id AND m.state = 'completed'
                ORDER BY m.completed_at LIMIT 1
            )) AS id
        ) next
        LEFT JOIN helpdesk.users u ON u.account_id = $1 AND u.id = next.id
        WHERE next.id IS NOT NULL AND hop.depth < 1000
    )
    SELECT id FROM hop WHERE known AND merged_into IS NULL ORDER BY depth DESC LIMIT 1
$$;
