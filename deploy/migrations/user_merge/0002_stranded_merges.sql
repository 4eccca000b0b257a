-- Merges that stand still without a message are found and enqueued again, messages that the broker refuses don't hold
-- up the others, and a failure is told from a sign of life. Workers of the release before can live with all of it.

ALTER TABLE user_merge.merges
    -- When a try last failed; one that is younger than `updated_at` was followed by work.
    ADD COLUMN failed_at timestamptz,
    -- How often the request was enqueued again because the merge stood still, and when last.
    ADD COLUMN enqueued_again integer NOT NULL DEFAULT 0,
    ADD COLUMN enqueued_again_at timestamptz;

-- What is unfinished, oldest first. Not by `updated_at`: each chunk would then have to write to every index. Whoever
-- writes to the table waits for as long as it takes to read it once.
CREATE INDEX merges_running ON user_merge.merges (accepted_at, account_id, id) WHERE state = 'running';

-- How often the broker refused the message itself: each time it waits for twice as long.
ALTER TABLE user_merge.outbox ADD COLUMN refusals integer NOT NULL DEFAULT 0;

-- A request that is enqueued again goes this way too; its lane is the routing key. Not validated, for that would read
-- the whole table under a lock: what is there has satisfied a narrower check.
ALTER TABLE user_merge.outbox
    DROP CONSTRAINT outbox_destination_check,
    ADD CONSTRAINT outbox_destination_check
        CHECK (destination IN ('deletion', 'event', 'dead', 'request')) NOT VALID;
