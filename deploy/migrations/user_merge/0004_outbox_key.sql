-- A message's row is named by its merge too, and by one index instead of two: each message is written twice, when it is
-- promised and when it is confirmed, and every index with it.
--
-- Reads the whole table once, and nobody else may use it meanwhile. Workers of the release before can live with it, but
-- mark slowly: let them end soon.

ALTER TABLE user_merge.outbox
    DROP CONSTRAINT outbox_pkey,
    ADD PRIMARY KEY (account_id, merge_id, id);
DROP INDEX user_merge.outbox_merge;

-- Room for the second version of each row in its page: a shorter log entry, and no look for another page.
ALTER TABLE user_merge.outbox SET (fillfactor = 50);
