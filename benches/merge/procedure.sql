-- One small merge as a stored procedure: the rules, the rows and the log entries of the worker, in the tables of the
-- worker, without round trips and without a broker. Two rules are simpler than they should be, in its favour: phone
-- numbers are compared as they are written, and a repeated key answers with a word. All functions are PL/pgSQL, which
-- keeps its plans for the session.

CREATE SCHEMA bench;

-- The pairs of a run, each merged once.
CREATE TABLE bench.pairs (n bigint PRIMARY KEY, source bigint NOT NULL, target bigint NOT NULL);
CREATE SEQUENCE bench.next;

-- Rules A1 to A9 on two locked users; NULL lets them through.
CREATE FUNCTION bench.refusal(s helpdesk.users, t helpdesk.users, by_token boolean, s_tickets bigint, t_tickets bigint)
RETURNS text LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE
        WHEN s.id IS NULL THEN 'source_not_found'
        WHEN t.id IS NULL THEN 'target_not_found'
        WHEN s.merged_into = t.id THEN 'already_merged'
        WHEN s.merged_into IS NOT NULL THEN 'source_merged_elsewhere'
        WHEN t.merged_into IS NOT NULL THEN 'target_merged'
        WHEN s.deleted_at IS NOT NULL THEN 'source_deleted'
        WHEN t.deleted_at IS NOT NULL THEN 'target_deleted'
        WHEN s.role <> 'end_user' THEN 'source_not_end_user'
        WHEN t.role <> 'end_user' THEN 'target_not_end_user'
        WHEN NOT s.verified AND NOT EXISTS (
            SELECT FROM helpdesk.user_identities i
            WHERE i.account_id = s.account_id AND i.user_id = s.id AND i.kind IN ('email', 'x')
        ) THEN 'source_unverified_without_contact'
        WHEN NOT t.verified AND NOT EXISTS (
            SELECT FROM helpdesk.user_identities i
            WHERE i.account_id = t.account_id AND i.user_id = t.id AND i.kind IN ('email', 'x')
        ) THEN 'target_unverified_without_contact'
        WHEN s_tickets > 10000 THEN 'source_too_many_tickets'
        WHEN t_tickets > 10000 THEN 'target_too_many_tickets'
        WHEN by_token AND s.external_id ~ '\S' THEN 'source_external_id'
        WHEN by_token AND t.external_id ~ '\S' THEN 'target_external_id'
    END;
END
$$;

-- What is lost with the source, by kind and count (rules P2, P5, P6, P8 to P13, P15).
CREATE FUNCTION bench.dropped(s helpdesk.users) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN jsonb_strip_nulls(jsonb_build_object(
        'tags', nullif(cardinality(s.tags), 0),
        'details', CASE WHEN s.details <> '' THEN 1 END,
        'notes', CASE WHEN s.notes <> '' THEN 1 END,
        'photo', CASE WHEN s.photo_url <> '' THEN 1 END,
        'direct_line', CASE WHEN s.direct_line <> '' THEN 1 END,
        'locale', CASE WHEN s.locale <> '' THEN 1 END,
        'time_zone', CASE WHEN s.time_zone <> '' THEN 1 END,
        'external_id', CASE WHEN s.external_id ~ '\S' THEN 1 END,
        'user_fields', nullif((SELECT count(*) FROM jsonb_object_keys(s.user_fields)), 0)
    )) || coalesce((
        SELECT jsonb_object_agg(kind, number) FROM (
            SELECT kind, count(*) AS number FROM helpdesk.user_identities
            WHERE account_id = s.account_id AND user_id = s.id AND kind IN ('x', 'facebook', 'google')
            GROUP BY kind
        ) social
    ), '{}');
END
$$;

CREATE FUNCTION bench.merge_users(account bigint, source bigint, target bigint, key text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
    s helpdesk.users;
    t helpdesk.users;
    found_merge record;
    known record;
    refused text;
    merge uuid := gen_random_uuid();
    live bigint := 0;
    closed bigint := 0;
    archived bigint := 0;
    ccs_moved bigint := 0;
    ccs_dropped bigint := 0;
    more bigint;
    emails bigint := 0;
    phones bigint := 0;
    organizations bigint := 0;
    organizations_lost bigint := 0;
    own_organization bigint;
    outcome jsonb;
BEGIN
    IF source = target THEN RETURN 'same_user'; END IF;

    -- Both users, the lower id first.
    IF source < target THEN
        SELECT * INTO s FROM helpdesk.users WHERE account_id = account AND id = source FOR UPDATE;
        SELECT * INTO t FROM helpdesk.users WHERE account_id = account AND id = target FOR NO KEY UPDATE;
    ELSE
        SELECT * INTO t FROM helpdesk.users WHERE account_id = account AND id = target FOR NO KEY UPDATE;
        SELECT * INTO s FROM helpdesk.users WHERE account_id = account AND id = source FOR UPDATE;
    END IF;

    -- Rules R1 and R2.
    SELECT source_user_id, target_user_id, state INTO found_merge
    FROM user_merge.merges WHERE account_id = account AND idempotency_key = key;
    IF FOUND THEN
        RETURN CASE WHEN found_merge.source_user_id = source AND found_merge.target_user_id = target
                    THEN found_merge.state ELSE 'idempotency_key_reused' END;
    END IF;

    -- Everything else that the rules ask.
    SELECT a.sign_on && '{jwt,saml}' AS by_token, a.multiple_organizations,
           (SELECT count(*) FROM (SELECT FROM helpdesk.tickets
                WHERE account_id = account AND requester_id = source LIMIT 10001) c) AS tickets,
           (SELECT count(*) FROM (SELECT FROM helpdesk.archived_tickets
                WHERE account_id = account AND requester_id = source LIMIT 10001) c) AS archived,
           (SELECT count(*) FROM (SELECT FROM helpdesk.tickets
                WHERE account_id = account AND requester_id = target LIMIT 10001) c)
         + (SELECT count(*) FROM (SELECT FROM helpdesk.archived_tickets
                WHERE account_id = account AND requester_id = target LIMIT 10001) c) AS of_target,
           EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = account AND user_id = source) AS has_ccs,
           EXISTS (SELECT FROM helpdesk.organization_memberships
                   WHERE account_id = account AND user_id = source) AS has_organizations,
           EXISTS (SELECT FROM user_merge.merges m
                   WHERE m.account_id = account AND m.holds_users
                     AND (m.source_user_id IN (source, target) OR m.target_user_id = source)) AS conflicts
    INTO known
    FROM helpdesk.accounts a WHERE a.id = account;

    refused := bench.refusal(s, t, known.by_token, known.tickets + known.archived, known.of_target);
    IF refused IS NULL AND known.conflicts THEN RETURN 'conflicting_merge'; END IF;
    IF refused IS NOT NULL THEN
        outcome := jsonb_build_object('schema_version', 1, 'type', 'merge.rejected', 'merge_id', merge,
            'idempotency_key', key, 'account_id', account, 'source_user_id', source, 'target_user_id', target,
            'already_merged', refused = 'already_merged', 'rejection', jsonb_build_object('reason', refused),
            'attempts', 1, 'accepted_at', now(), 'completed_at', now());
        INSERT INTO user_merge.merges (account_id, id, idempotency_key, source_user_id, target_user_id, lane, state,
                                       rejection, outcome, completed_at)
        VALUES (account, merge, key, source, target, 'interactive', 'rejected', refused, outcome, now());
        INSERT INTO user_merge.outbox (account_id, merge_id, destination, routing_key, message_id, body, claimed_until)
        VALUES (account, merge, 'event', 'merge.rejected', merge::text, outcome::text, now() + interval '30 s');
        RETURN refused;
    END IF;

    -- Tickets; CCs of the two on them go, since the target is the requester now (rule T5).
    IF known.tickets > 0 THEN
        WITH moved AS (
            UPDATE helpdesk.tickets SET requester_id = target, updated_at = now()
            WHERE account_id = account AND requester_id = source
            RETURNING id, status
        ), dropped AS (
            DELETE FROM helpdesk.ticket_ccs c USING moved
            WHERE c.account_id = account AND c.ticket_id = moved.id AND c.user_id IN (source, target)
            RETURNING c.ticket_id, c.user_id
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT account, id, 'requester_id', source::text, target::text, 'user_merge', merge, true FROM moved
            UNION ALL
            SELECT account, ticket_id, 'cc', user_id::text, NULL, 'user_merge', merge, true FROM dropped
        )
        SELECT count(*) FILTER (WHERE status <> 'closed'), count(*) FILTER (WHERE status = 'closed'),
               (SELECT count(*) FROM dropped)
        INTO live, closed, ccs_dropped
        FROM moved;
    END IF;
    IF known.archived > 0 THEN
        WITH moved AS (
            UPDATE helpdesk.archived_tickets SET requester_id = target, updated_at = now()
            WHERE account_id = account AND requester_id = source
            RETURNING id
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT account, id, 'requester_id', source::text, target::text, 'user_merge', merge, true FROM moved
        )
        SELECT count(*) INTO archived FROM moved;
    END IF;

    -- The source's other CCs, row by row (rules T4 and T5).
    IF known.has_ccs THEN
        WITH taken AS (
            DELETE FROM helpdesk.ticket_ccs WHERE account_id = account AND user_id = source RETURNING ticket_id
        ), given AS (
            INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
            SELECT account, taken.ticket_id, target
            FROM taken JOIN helpdesk.tickets k ON k.account_id = account AND k.id = taken.ticket_id
            WHERE k.requester_id <> target
            ON CONFLICT DO NOTHING
            RETURNING ticket_id
        ), logged AS (
            INSERT INTO helpdesk.ticket_events
                (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
            SELECT account, taken.ticket_id, 'cc', source::text,
                   CASE WHEN given.ticket_id IS NOT NULL THEN target::text END, 'user_merge', merge, true
            FROM taken LEFT JOIN given USING (ticket_id)
        )
        SELECT (SELECT count(*) FROM given), (SELECT count(*) FROM taken) - (SELECT count(*) FROM given)
        INTO ccs_moved, more;
        ccs_dropped := ccs_dropped + more;
    END IF;

    -- Addresses and numbers (rules P1, P3, P4).
    WITH chosen AS (
        SELECT DISTINCT ON (kind, CASE kind WHEN 'phone' THEN value ELSE id::text END)
               id, kind, is_primary AND kind = 'phone' AND NOT EXISTS (
                   SELECT FROM helpdesk.user_identities o
                   WHERE o.account_id = account AND o.user_id = target AND o.kind = 'phone') AS is_primary
        FROM helpdesk.user_identities i
        WHERE account_id = account AND user_id = source AND kind IN ('email', 'phone')
          AND (kind = 'email' OR NOT EXISTS (
                   SELECT FROM helpdesk.user_identities o
                   WHERE o.account_id = account AND o.user_id = target AND o.kind = 'phone' AND o.value = i.value))
        ORDER BY kind, CASE kind WHEN 'phone' THEN value ELSE id::text END, i.is_primary DESC, id
    ), moved AS (
        UPDATE helpdesk.user_identities i
        SET user_id = target, is_primary = chosen.is_primary, updated_at = now()
        FROM chosen WHERE i.account_id = account AND i.id = chosen.id
        RETURNING i.kind
    )
    SELECT count(*) FILTER (WHERE kind = 'email'), count(*) FILTER (WHERE kind = 'phone') INTO emails, phones
    FROM moved;

    -- Organizations (rule P7).
    IF known.has_organizations OR s.organization_id IS NOT NULL THEN
        IF t.organization_id IS NULL AND NOT EXISTS (
            SELECT FROM helpdesk.organization_memberships WHERE account_id = account AND user_id = target
        ) THEN
            own_organization := coalesce(s.organization_id, (
                SELECT organization_id FROM helpdesk.organization_memberships
                WHERE account_id = account AND user_id = source
                ORDER BY is_default DESC, organization_id LIMIT 1));
        END IF;
        WITH offered AS (
            SELECT organization_id AS id FROM helpdesk.organization_memberships
            WHERE account_id = account AND user_id = source
            UNION SELECT s.organization_id WHERE s.organization_id IS NOT NULL
        ), has AS (
            SELECT organization_id AS id FROM helpdesk.organization_memberships
            WHERE account_id = account AND user_id = target
            UNION SELECT t.organization_id WHERE t.organization_id IS NOT NULL
        ), added AS (
            INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
            SELECT account, target, id, id IS NOT DISTINCT FROM own_organization
            FROM offered
            WHERE (known.multiple_organizations OR id = own_organization) AND id NOT IN (SELECT id FROM has)
            ON CONFLICT DO NOTHING
            RETURNING organization_id
        )
        SELECT (SELECT count(*) FROM added),
               (SELECT count(*) FROM offered
                WHERE id NOT IN (SELECT id FROM has UNION SELECT organization_id FROM added))
        INTO organizations, organizations_lost;
    END IF;

    -- Rule D1: nothing of the source is left.
    IF EXISTS (SELECT FROM helpdesk.tickets WHERE account_id = account AND requester_id = source)
        OR EXISTS (SELECT FROM helpdesk.archived_tickets WHERE account_id = account AND requester_id = source)
        OR EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = account AND user_id = source)
        OR EXISTS (SELECT FROM helpdesk.user_identities
                   WHERE account_id = account AND user_id = source AND kind = 'email')
    THEN
        RAISE EXCEPTION 'something of user % is left', source;
    END IF;

    -- The tombstone, whoever was merged into the source before, and the target (rules D1, D3, P7).
    UPDATE helpdesk.users SET merged_into = target, merged_at = now(), updated_at = now()
    WHERE account_id = account AND id = source;
    UPDATE helpdesk.users SET merged_into = target, updated_at = now()
    WHERE account_id = account AND merged_into = source;
    UPDATE helpdesk.users SET organization_id = coalesce(own_organization, organization_id), updated_at = now()
    WHERE account_id = account AND id = target;

    -- The record, and the two messages that follow from it (rules R1 and D2).
    outcome := jsonb_build_object('schema_version', 1, 'type', 'merge.completed', 'merge_id', merge,
        'idempotency_key', key, 'account_id', account, 'source_user_id', source, 'target_user_id', target,
        'requested_by', 'agent:77', 'already_merged', false,
        'tickets', jsonb_build_object('live', live, 'closed', closed, 'archived', archived),
        'ccs', jsonb_build_object('moved', ccs_moved, 'deduplicated', ccs_dropped),
        'profile', jsonb_build_object('emails_added', emails, 'phones_added', phones,
            'organizations_added', organizations,
            'dropped', bench.dropped(s) || CASE WHEN organizations_lost > 0
                THEN jsonb_build_object('organizations', organizations_lost) ELSE '{}' END)
            || CASE WHEN s.suspended <> t.suspended THEN '{"suspension_differs": true}' ELSE '{}' END::jsonb,
        'attempts', 1, 'accepted_at', now(), 'completed_at', now());
    INSERT INTO user_merge.merges
        (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane, state,
         live, closed, archived, ccs_moved, ccs_deduplicated, outcome, completed_at)
    VALUES (account, merge, key, source, target, 'agent:77', 'same person, second address', 'interactive', 'completed',
            live, closed, archived, ccs_moved, ccs_dropped, outcome, now());
    INSERT INTO user_merge.outbox
        (account_id, merge_id, destination, routing_key, message_id, body, claimed_until)
    VALUES
        (account, merge, 'deletion', '', 'user-deletion:' || account || ':' || source,
         jsonb_build_object('schema_version', 1, 'idempotency_key', 'user-deletion:' || account || ':' || source,
             'account_id', account, 'user_id', source, 'reason', 'merged', 'merged_into', target, 'merge_id', merge,
             'merged_at', now(), 'keep_contributions', true)::text, now() + interval '30 s'),
        (account, merge, 'event', 'merge.completed', merge::text, outcome::text, now() + interval '30 s');
    RETURN 'completed';
END
$$;

-- The next pair of the run.
CREATE FUNCTION bench.merge_next() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    pair bench.pairs;
    number bigint := nextval('bench.next');
    done text;
BEGIN
    SELECT * INTO STRICT pair FROM bench.pairs WHERE n = number;
    done := bench.merge_users(1, pair.source, pair.target, 'bench-2026-' || pair.source);
    IF done <> 'completed' THEN RAISE EXCEPTION 'user % was not merged: %', pair.source, done; END IF;
    RETURN done;
END
$$;
