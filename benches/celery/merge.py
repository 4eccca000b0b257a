"""One merge in one transaction: lock, read, decide, write."""

import uuid
from datetime import datetime, timezone

from psycopg.types.json import Jsonb

TICKET_LIMIT = 10_000

LOCK = """
    SELECT id, role, verified, suspended, merged_into, deleted_at IS NOT NULL AS deleted, organization_id,
           coalesce(external_id ~ '\\S', false) AS has_external_id,
           jsonb_strip_nulls(jsonb_build_object(
               'tags', nullif(cardinality(tags), 0), 'details', CASE WHEN details <> '' THEN 1 END,
               'notes', CASE WHEN notes <> '' THEN 1 END, 'photo', CASE WHEN photo_url <> '' THEN 1 END,
               'direct_line', CASE WHEN direct_line <> '' THEN 1 END, 'locale', CASE WHEN locale <> '' THEN 1 END,
               'time_zone', CASE WHEN time_zone <> '' THEN 1 END,
               'external_id', CASE WHEN external_id ~ '\\S' THEN 1 END,
               'user_fields', nullif((SELECT count(*) FROM jsonb_object_keys(user_fields)), 0))) AS lost
    FROM helpdesk.users WHERE account_id = %(account)s AND id IN (%(source)s, %(target)s)
    ORDER BY id FOR UPDATE
"""

LOOK_UP = """
    SELECT m.id, m.source_user_id, m.target_user_id, m.state, m.outcome,
           EXISTS (SELECT FROM user_merge.merges o
                   WHERE o.account_id = %(account)s AND o.holds_users AND o.idempotency_key <> %(key)s
                     AND (o.source_user_id IN (%(source)s, %(target)s) OR o.target_user_id = %(source)s)) AS conflicts
    FROM (SELECT) one
    LEFT JOIN user_merge.merges m ON m.account_id = %(account)s AND m.idempotency_key = %(key)s
"""

FACTS = """
    SELECT a.sign_on && '{jwt,saml}' AS by_token, a.multiple_organizations,
           (SELECT count(*) FROM (SELECT FROM helpdesk.tickets
                WHERE account_id = a.id AND requester_id = %(source)s LIMIT %(cap)s) c) AS source_tickets,
           (SELECT count(*) FROM (SELECT FROM helpdesk.archived_tickets
                WHERE account_id = a.id AND requester_id = %(source)s LIMIT %(cap)s) c) AS source_archived,
           (SELECT count(*) FROM (SELECT FROM helpdesk.tickets
                WHERE account_id = a.id AND requester_id = %(target)s LIMIT %(cap)s) c)
         + (SELECT count(*) FROM (SELECT FROM helpdesk.archived_tickets
                WHERE account_id = a.id AND requester_id = %(target)s LIMIT %(cap)s) c) AS target_tickets,
           EXISTS (SELECT FROM helpdesk.ticket_ccs
                   WHERE account_id = a.id AND user_id = %(source)s) AS has_ccs,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('id', id, 'user', user_id, 'kind', kind, 'primary', is_primary,
                'number', CASE kind WHEN 'phone' THEN value END) ORDER BY is_primary DESC, id), '[]')
            FROM helpdesk.user_identities
            WHERE account_id = a.id AND user_id IN (%(source)s, %(target)s)) AS identities,
           (SELECT coalesce(jsonb_agg(jsonb_build_object('id', organization_id, 'user', user_id, 'default', is_default)
                ORDER BY is_default DESC, organization_id), '[]')
            FROM helpdesk.organization_memberships
            WHERE account_id = a.id AND user_id IN (%(source)s, %(target)s)) AS organizations
    FROM helpdesk.accounts a WHERE a.id = %(account)s
"""

MOVE_TICKETS = """
    WITH moved AS (
        UPDATE helpdesk.tickets SET requester_id = %(target)s, updated_at = now()
        WHERE account_id = %(account)s AND requester_id = %(source)s
        RETURNING id, status
    ), dropped AS (
        DELETE FROM helpdesk.ticket_ccs c USING moved
        WHERE c.account_id = %(account)s AND c.ticket_id = moved.id AND c.user_id IN (%(source)s, %(target)s)
        RETURNING c.ticket_id, c.user_id
    ), logged AS (
        INSERT INTO helpdesk.ticket_events
            (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
        SELECT %(account)s, id, 'requester_id', (%(source)s::bigint)::text, (%(target)s::bigint)::text, 'user_merge',
               %(merge)s::uuid, true FROM moved
        UNION ALL
        SELECT %(account)s, ticket_id, 'cc', user_id::text, NULL, 'user_merge', %(merge)s, true FROM dropped
    )
    SELECT count(*) FILTER (WHERE status <> 'closed'), count(*) FILTER (WHERE status = 'closed'),
           (SELECT count(*) FROM dropped)
    FROM moved
"""

MOVE_ARCHIVED = """
    WITH moved AS (
        UPDATE helpdesk.archived_tickets SET requester_id = %(target)s, updated_at = now()
        WHERE account_id = %(account)s AND requester_id = %(source)s
        RETURNING id
    ), logged AS (
        INSERT INTO helpdesk.ticket_events
            (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
        SELECT %(account)s, id, 'requester_id', (%(source)s::bigint)::text, (%(target)s::bigint)::text, 'user_merge',
               %(merge)s::uuid, true FROM moved
    )
    SELECT count(*) FROM moved
"""

MOVE_CCS = """
    WITH taken AS (
        DELETE FROM helpdesk.ticket_ccs WHERE account_id = %(account)s AND user_id = %(source)s RETURNING ticket_id
    ), given AS (
        INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
        SELECT %(account)s, taken.ticket_id, %(target)s
        FROM taken JOIN helpdesk.tickets k ON k.account_id = %(account)s AND k.id = taken.ticket_id
        WHERE k.requester_id <> %(target)s
        ON CONFLICT DO NOTHING
        RETURNING ticket_id
    ), logged AS (
        INSERT INTO helpdesk.ticket_events
            (account_id, ticket_id, field, old_value, new_value, via, merge_id, suppress_triggers)
        SELECT %(account)s, taken.ticket_id, 'cc', (%(source)s::bigint)::text,
               CASE WHEN given.ticket_id IS NOT NULL THEN (%(target)s::bigint)::text END, 'user_merge',
               %(merge)s::uuid, true
        FROM taken LEFT JOIN given USING (ticket_id)
    )
    SELECT (SELECT count(*) FROM given), (SELECT count(*) FROM taken) - (SELECT count(*) FROM given)
"""

MOVE_IDENTITIES = """
    UPDATE helpdesk.user_identities i SET user_id = %(target)s, is_primary = chosen.is_primary, updated_at = now()
    FROM unnest(%(ids)s::bigint[], %(primary)s::boolean[]) AS chosen (id, is_primary)
    WHERE i.account_id = %(account)s AND i.id = chosen.id AND i.user_id = %(source)s
"""

ADD_ORGANIZATIONS = """
    INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
    SELECT %(account)s, %(target)s, id, id IS NOT DISTINCT FROM %(default)s::bigint
    FROM unnest(%(organizations)s::bigint[]) AS id
    ON CONFLICT DO NOTHING
"""

FINISH = """
    WITH target AS (
        UPDATE helpdesk.users SET organization_id = coalesce(%(default)s, organization_id), updated_at = now()
        WHERE account_id = %(account)s AND id = %(target)s
    ), tombstone AS (
        UPDATE helpdesk.users SET merged_into = %(target)s, merged_at = now(), updated_at = now()
        WHERE account_id = %(account)s AND id = %(source)s
    ), followers AS (
        UPDATE helpdesk.users SET merged_into = %(target)s, updated_at = now()
        WHERE account_id = %(account)s AND merged_into = %(source)s
    )
    SELECT EXISTS (SELECT FROM helpdesk.tickets WHERE account_id = %(account)s AND requester_id = %(source)s)
        OR EXISTS (SELECT FROM helpdesk.archived_tickets WHERE account_id = %(account)s AND requester_id = %(source)s)
        OR EXISTS (SELECT FROM helpdesk.ticket_ccs WHERE account_id = %(account)s AND user_id = %(source)s)
        OR EXISTS (SELECT FROM helpdesk.user_identities
                   WHERE account_id = %(account)s AND user_id = %(source)s AND kind = 'email')
"""

RECORD = """
    INSERT INTO user_merge.merges
        (account_id, id, idempotency_key, source_user_id, target_user_id, requested_by, reason, lane, state,
         live, closed, archived, ccs_moved, ccs_deduplicated, rejection, outcome, completed_at)
    VALUES (%(account)s, %(merge)s, %(key)s, %(source)s, %(target)s, %(requested_by)s, %(reason)s, 'interactive',
            %(state)s, %(live)s, %(closed)s, %(archived)s, %(ccs_moved)s, %(ccs_dropped)s, %(rejection)s, %(outcome)s,
            now())
"""


class Conflict(Exception):
    """Another unfinished merge comes first: the task is tried again."""


class Leftover(Exception):
    """Something still belongs to the source: nothing is committed."""


def refusal(source, target, facts, contacts):
    """Rules A2 to A9, in their order."""
    if source is None:
        return "source_not_found"
    if target is None:
        return "target_not_found"
    if source["merged_into"] is not None:
        return "already_merged" if source["merged_into"] == target["id"] else "source_merged_elsewhere"
    if target["merged_into"] is not None:
        return "target_merged"
    tickets = facts["source_tickets"] + facts["source_archived"], facts["target_tickets"]
    both = (("source", source, tickets[0]), ("target", target, tickets[1]))
    for name, user, _ in both:
        if user["deleted"]:
            return f"{name}_deleted"
    for name, user, _ in both:
        if user["role"] != "end_user":
            return f"{name}_not_end_user"
    for name, user, _ in both:
        if not user["verified"] and user["id"] not in contacts:
            return f"{name}_unverified_without_contact"
    for name, _, count in both:
        if count > TICKET_LIMIT:
            return f"{name}_too_many_tickets"
    for name, user, _ in both:
        if facts["by_token"] and user["has_external_id"]:
            return f"{name}_external_id"
    return None


def choose_identities(identities, source, target):
    """Rules P1, P3, P4 and P15: what moves, and what is lost."""
    numbers = {i["number"] for i in identities if i["user"] == target and i["kind"] == "phone"}
    has_phone = bool(numbers)
    moved, lost = [], {}
    for identity in (i for i in identities if i["user"] == source):
        if identity["kind"] == "email":
            moved.append((identity, False))
        elif identity["kind"] == "phone":
            if identity["number"] not in numbers:
                numbers.add(identity["number"])
                moved.append((identity, identity["primary"] and not has_phone))
                has_phone = True
        else:
            lost[identity["kind"]] = lost.get(identity["kind"], 0) + 1
    return moved, lost


def choose_organizations(organizations, source, target, several):
    """Rule P7: what the target gets, its default where it has none, and how many are lost."""
    own = {o["id"] for o in organizations if o["user"] == target["id"]} | {target["organization_id"]} - {None}
    listed = [o["id"] for o in organizations if o["user"] == source["id"]]
    offered = set(listed) | {source["organization_id"]} - {None}
    default = None
    if offered and not own:
        default = source["organization_id"] or listed[0]
    added = offered - own if several else {default} - {None}
    return sorted(added), default, len(offered - own - added)


def merge_users(cursor, account, source, target, key, requested_by, reason):
    """Returns the deletion message, where there is one, and the event."""
    merge = uuid.uuid4()
    now = datetime.now(timezone.utc).isoformat()
    ids = {"account": account, "source": source, "target": target, "key": key, "merge": merge, "cap": TICKET_LIMIT + 1}
    event = {
        "schema_version": 1, "merge_id": str(merge), "idempotency_key": key, "account_id": account,
        "source_user_id": source, "target_user_id": target, "requested_by": requested_by, "already_merged": False,
        "attempts": 1, "accepted_at": now, "completed_at": now,
    }  # fmt: skip
    record = dict(ids, requested_by=requested_by, reason=reason, rejection=None)
    record |= {"live": 0, "closed": 0, "archived": 0, "ccs_moved": 0, "ccs_dropped": 0}

    users = {user["id"]: user for user in rows(cursor, LOCK, ids)}
    (standing,) = rows(cursor, LOOK_UP, ids)
    if standing["id"] is not None:
        if (standing["source_user_id"], standing["target_user_id"]) == (source, target):
            # A task that is delivered again after its commit: its messages may not have been sent.
            outcome = standing["outcome"]
            return deletion_of(outcome) if standing["state"] == "completed" else None, outcome
        return None, event | {"type": "merge.rejected", "rejection": {"reason": "idempotency_key_reused"}}
    (facts,) = rows(cursor, FACTS, ids)
    contacts = {i["user"] for i in facts["identities"] if i["kind"] in ("email", "x")}
    refused = "same_user" if source == target else refusal(users.get(source), users.get(target), facts, contacts)
    if refused is not None:
        event |= {"type": "merge.rejected", "rejection": {"reason": refused}}
        cursor.execute(RECORD, record | {"state": "rejected", "rejection": refused, "outcome": Jsonb(event)})
        return None, event
    if standing["conflicts"]:
        raise Conflict(key)

    if facts["source_tickets"]:
        record["live"], record["closed"], record["ccs_dropped"] = cursor.execute(MOVE_TICKETS, ids).fetchone()
    if facts["source_archived"]:
        (record["archived"],) = cursor.execute(MOVE_ARCHIVED, ids).fetchone()
    if facts["has_ccs"]:
        record["ccs_moved"], dropped = cursor.execute(MOVE_CCS, ids).fetchone()
        record["ccs_dropped"] += dropped
    identities, lost = choose_identities(facts["identities"], source, target)
    if identities:
        chosen = {"ids": [i["id"] for i, _ in identities], "primary": [primary for _, primary in identities]}
        cursor.execute(MOVE_IDENTITIES, ids | chosen)
    organizations, default, organizations_lost = choose_organizations(
        facts["organizations"], users[source], users[target], facts["multiple_organizations"]
    )
    if organizations_lost:
        lost["organizations"] = organizations_lost
    if organizations:
        cursor.execute(ADD_ORGANIZATIONS, ids | {"organizations": organizations, "default": default})
    (left,) = cursor.execute(FINISH, ids | {"default": default}).fetchone()
    # Statements of one WITH see the state before it: nothing may have been left by then.
    if left:
        raise Leftover(source)

    kinds = [i["kind"] for i, _ in identities]
    event |= {
        "type": "merge.completed",
        "tickets": {name: record[name] for name in ("live", "closed", "archived")},
        "ccs": {"moved": record["ccs_moved"], "deduplicated": record["ccs_dropped"]},
        "profile": {
            "emails_added": kinds.count("email"), "phones_added": kinds.count("phone"),
            "organizations_added": len(organizations), "dropped": users[source]["lost"] | lost,
        },
    }  # fmt: skip
    if users[source]["suspended"] != users[target]["suspended"]:
        event["profile"]["suspension_differs"] = True
    cursor.execute(RECORD, record | {"state": "completed", "outcome": Jsonb(event)})
    return deletion_of(event), event


def deletion_of(event):
    account, source = event["account_id"], event["source_user_id"]
    return {
        "schema_version": 1, "idempotency_key": f"user-deletion:{account}:{source}", "account_id": account,
        "user_id": source, "reason": "merged", "merged_into": event["target_user_id"], "merge_id": event["merge_id"],
        "merged_at": event["completed_at"], "keep_contributions": True,
    }  # fmt: skip


def rows(cursor, statement, values):
    cursor.execute(statement, values)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]
