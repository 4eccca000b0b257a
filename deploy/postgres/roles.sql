-- Four roles with the least rights that they get along with. Before the first migration, as a superuser
-- (or, on a managed server, as a role that may create roles and owns the database), in the help desk's database:
--
--     psql -v ON_ERROR_STOP=1 -f deploy/postgres/roles.sql "$ADMIN_URL"
--     psql "$ADMIN_URL" -c '\password user_merge_owner'       (and the same for the others)
--     USER_MERGE__DATABASE__URL=…user_merge_owner… user-merge migrate
--     psql -v ON_ERROR_STOP=1 -f deploy/postgres/grants.sql "$ADMIN_URL"
--
-- Plain SQL that may run any number of times. Without a password a role can't log in by one. For other names,
-- replace these in both files.

DO $$
BEGIN
    -- Makes the tables and owns them. For `user-merge migrate` only: no process runs with it.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_merge_owner') THEN
        CREATE ROLE user_merge_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    -- `user-merge worker`.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_merge_worker') THEN
        CREATE ROLE user_merge_worker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    -- `user-merge status`, and whoever asks user_merge.canonical_user.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_merge_reader') THEN
        CREATE ROLE user_merge_reader LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;
    -- `user-merge verify`: it reads what the worker wrote, the log and the messages included, and writes nothing.
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'user_merge_verifier') THEN
        CREATE ROLE user_merge_verifier LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
    END IF;

    -- CREATE: the migrations make the schema user_merge (and helpdesk, with --with-helpdesk).
    EXECUTE format('GRANT CONNECT, CREATE ON DATABASE %I TO user_merge_owner', current_database());
    EXECUTE format('GRANT CONNECT ON DATABASE %I TO user_merge_worker, user_merge_reader, user_merge_verifier', current_database());

    -- The worker slows down where standbys are behind or sessions wait for locks, and must be able to see that. The
    -- right shows it other sessions' statements as well: without it the worker works, and slows down for neither.
    BEGIN
        GRANT pg_read_all_stats TO user_merge_worker;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE WARNING 'somebody who may has to GRANT pg_read_all_stats TO user_merge_worker';
    END;

    -- A help desk that is there already: the migrations must be able to name its tables, not to read them.
    IF EXISTS (SELECT FROM pg_namespace WHERE nspname = 'helpdesk') THEN
        GRANT USAGE ON SCHEMA helpdesk TO user_merge_owner;
    END IF;
END
$$;

-- What a session waits or runs for is the worker's own setting (database.lock_timeout, .statement_timeout).
-- All processes' database.max_connections together must stay below the server's; a limit for the role keeps a
-- mistake there from locking the help desk out:
--     ALTER ROLE user_merge_worker CONNECTION LIMIT 100;
