-- What the roles of roles.sql may do: exactly what the worker's statements need, by column. After every migration,
-- as a superuser or as the owner of both schemas' tables; before an upgraded worker starts.
--
--     psql -v ON_ERROR_STOP=1 -f deploy/postgres/grants.sql "$ADMIN_URL"
--
-- Plain SQL, in one transaction, that may run any number of times: it takes everything away first, so that what an
-- older version needed goes too. Where the help desk's relations are views, the same grants go on the views.
--
-- tests/it/roles.rs holds each line against the worker's statements, in both directions.

BEGIN;

REVOKE ALL ON ALL TABLES IN SCHEMA helpdesk, user_merge FROM user_merge_worker, user_merge_reader, user_merge_verifier;
REVOKE ALL ON ALL SEQUENCES IN SCHEMA helpdesk, user_merge FROM user_merge_worker, user_merge_reader, user_merge_verifier;
REVOKE ALL ON SCHEMA helpdesk, user_merge FROM user_merge_worker, user_merge_reader, user_merge_verifier;
GRANT USAGE ON SCHEMA helpdesk, user_merge TO user_merge_worker, user_merge_reader, user_merge_verifier;

-- The worker on the help desk. It deletes no user, no identity and no ticket, and makes none; it can't truncate or
-- alter anything. A lock (SELECT … FOR UPDATE and its like) needs the right to update some column.

GRANT SELECT (id, sign_on, multiple_organizations) ON helpdesk.accounts TO user_merge_worker;

-- Notes, details and the like are read for whether they are empty: a merge reports what it loses, by kind and count.
-- Not the name.
GRANT SELECT (account_id, id, role, verified, suspended, organization_id, external_id, merged_into, deleted_at,
              tags, details, notes, photo_url, direct_line, locale, time_zone, user_fields)
    ON helpdesk.users TO user_merge_worker;
GRANT UPDATE (organization_id, merged_into, merged_at, updated_at) ON helpdesk.users TO user_merge_worker;

-- Values are read of phone numbers alone, to compare them; but a column can't be granted for some rows.
GRANT SELECT (account_id, id, user_id, kind, value, is_primary) ON helpdesk.user_identities TO user_merge_worker;
GRANT UPDATE (user_id, is_primary, updated_at) ON helpdesk.user_identities TO user_merge_worker;

GRANT SELECT (account_id, user_id, organization_id, is_default),
      INSERT (account_id, user_id, organization_id, is_default)
    ON helpdesk.organization_memberships TO user_merge_worker;

-- Neither subjects nor assignees nor dates.
GRANT SELECT (account_id, id, requester_id, status), UPDATE (requester_id, updated_at)
    ON helpdesk.tickets TO user_merge_worker;
GRANT SELECT (account_id, id, requester_id), UPDATE (requester_id, updated_at)
    ON helpdesk.archived_tickets TO user_merge_worker;

-- UPDATE for the locks: a CC is moved by a delete and an insert.
GRANT SELECT (account_id, ticket_id, user_id), INSERT (account_id, ticket_id, user_id), UPDATE (user_id), DELETE
    ON helpdesk.ticket_ccs TO user_merge_worker;
GRANT SELECT (account_id, ticket_id, user_id), INSERT (account_id, ticket_id, user_id), UPDATE (user_id), DELETE
    ON helpdesk.archived_ticket_ccs TO user_merge_worker;

-- The event log can be written and neither read nor changed. Its ids come from an identity column, whose sequence
-- needs no right of its own; where yours come from a sequence's nextval(), grant USAGE on that.
GRANT INSERT (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
    ON helpdesk.ticket_events TO user_merge_worker;

-- The worker on its own tables. What was merged stays on record; published messages are pruned.
GRANT SELECT, INSERT, UPDATE ON user_merge.merges TO user_merge_worker;
GRANT SELECT, INSERT, UPDATE (claimed_until, published_at, refusals), DELETE ON user_merge.outbox TO user_merge_worker;

-- At what pace it works, and the removal of what is left of workers that are gone.
GRANT SELECT, INSERT, UPDATE, DELETE ON user_merge.pace TO user_merge_worker;

-- The reader: where a merge stands, at what pace the workers work, and who a user is today. No message bodies.
GRANT SELECT ON user_merge.merges TO user_merge_reader;
GRANT SELECT (account_id, id, merge_id, destination, created_at, published_at) ON user_merge.outbox TO user_merge_reader;
GRANT SELECT ON user_merge.pace TO user_merge_reader;
GRANT SELECT (account_id, id, merged_into) ON helpdesk.users TO user_merge_reader;

-- The verifier: ids, states, counts and times. It compares addresses, to see whether a user has one twice, and reads
-- the bodies of deletion messages; but a column can't be granted for some rows. Nothing that people typed elsewhere.
GRANT SELECT (account_id, id, idempotency_key, source_user_id, target_user_id, state, holds_users, live, closed,
              archived, ccs_moved, ccs_deduplicated, late, rejection, outcome, updated_at, completed_at)
    ON user_merge.merges TO user_merge_verifier;
GRANT SELECT (account_id, id, merge_id, destination, message_id, body, created_at, published_at)
    ON user_merge.outbox TO user_merge_verifier;
GRANT SELECT (account_id, id, merged_into, deleted_at) ON helpdesk.users TO user_merge_verifier;
GRANT SELECT (account_id, id, user_id, kind, value) ON helpdesk.user_identities TO user_merge_verifier;
GRANT SELECT (account_id, id, requester_id) ON helpdesk.tickets TO user_merge_verifier;
GRANT SELECT (account_id, id, requester_id) ON helpdesk.archived_tickets TO user_merge_verifier;
GRANT SELECT (account_id, ticket_id, user_id) ON helpdesk.ticket_ccs TO user_merge_verifier;
GRANT SELECT (account_id, ticket_id, user_id) ON helpdesk.archived_ticket_ccs TO user_merge_verifier;
GRANT SELECT (account_id, id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers, created_at)
    ON helpdesk.ticket_events TO user_merge_verifier;

COMMIT;
