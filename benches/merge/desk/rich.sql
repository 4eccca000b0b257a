-- A pair with something for every rule: user 900001 is to be merged into 900002.
INSERT INTO helpdesk.organizations (account_id, id, name) VALUES (1, 1, 'one'), (1, 2, 'two');
INSERT INTO helpdesk.users (account_id, id, name, verified, suspended, organization_id, tags, details, notes, locale,
                            time_zone, user_fields, direct_line)
VALUES (1, 900001, 'source', false, true, 1, '{a,b}', '', 'a note', 'de', 'UTC', '{"plan": "free", "size": 2}', NULL),
       (1, 900002, 'target', true, false, NULL, '{c}', 'details', NULL, 'en', NULL, '{}', '+49305550000'),
       (1, 900003, 'somebody else', true, false, NULL, '{}', NULL, NULL, NULL, NULL, '{}', NULL),
       (1, 900004, 'merged earlier', true, false, NULL, '{}', NULL, NULL, NULL, NULL, '{}', NULL);
UPDATE helpdesk.users SET merged_into = 900001, merged_at = now() WHERE account_id = 1 AND id = 900004;
INSERT INTO helpdesk.organization_memberships (account_id, user_id, organization_id, is_default)
VALUES (1, 900001, 1, true), (1, 900001, 2, false);
INSERT INTO helpdesk.user_identities (account_id, user_id, kind, value, is_primary, verified)
VALUES (1, 900001, 'email', 'First@example.com', true, true), (1, 900001, 'email', 'second@example.com', false, false),
       (1, 900001, 'phone', '+49305550001', true, true), (1, 900001, 'phone', '+49305550002', false, false),
       (1, 900001, 'x', '@source', true, true), (1, 900002, 'phone', '+49305550002', true, true);
INSERT INTO helpdesk.tickets (account_id, id, requester_id, submitter_id, status, subject)
VALUES (1, 900001, 900001, 900001, 'open', 's'), (1, 900002, 900001, 900003, 'closed', 's'),
       (1, 900003, 900001, 900001, 'new', 's'), (1, 900004, 900002, 900002, 'open', 's'),
       (1, 900005, 900003, 900003, 'open', 's'), (1, 900006, 900003, 900003, 'closed', 's');
INSERT INTO helpdesk.archived_tickets (account_id, id, requester_id, submitter_id, status, subject, created_at, updated_at)
VALUES (1, 900011, 900001, 900001, 'closed', 's', now(), now()), (1, 900012, 900003, 900003, 'closed', 's', now(), now());
-- On their own tickets, on each other's, both on a third user's, the source alone there, and an archived one.
INSERT INTO helpdesk.ticket_ccs (account_id, ticket_id, user_id)
VALUES (1, 900001, 900001), (1, 900002, 900002), (1, 900003, 900003), (1, 900004, 900001),
       (1, 900005, 900001), (1, 900005, 900002), (1, 900006, 900001);
INSERT INTO helpdesk.archived_ticket_ccs (account_id, ticket_id, user_id) VALUES (1, 900012, 900001);
