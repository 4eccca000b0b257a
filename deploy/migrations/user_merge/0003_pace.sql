-- Workers say at what pace they work, and what slows them down, for whoever asks: one row a process, written every few
-- seconds and gone soon after it. Workers of the release before know nothing of it.
CREATE TABLE user_merge.pace (
    worker_id  uuid PRIMARY KEY,
    -- Where it is: as the database sees it, and its process id there.
    address    text,
    process_id bigint NOT NULL,
    version    text NOT NULL,
    state      text NOT NULL CHECK (state IN ('full', 'slowed', 'held')),
    -- A stable label; what was measured, and from where on it slows down: seconds, sessions, or MiB a second.
    reason     text,
    measured   double precision,
    allowed    double precision,
    -- Merges of the bulk lane at once.
    bulk_hands integer NOT NULL,
    started_at timestamptz NOT NULL DEFAULT now(),
    -- Since when it is slowed down, or is not.
    since      timestamptz NOT NULL DEFAULT now(),
    seen_at    timestamptz NOT NULL DEFAULT now(),
    CHECK ((state = 'full') = (reason IS NULL))
) WITH (fillfactor = 50);
