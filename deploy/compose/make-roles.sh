#!/usr/bin/env bash
# Run by the postgres image when its volume is new: the roles, and their passwords out of compose's environment.
set -euo pipefail
psql=(psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --username "${POSTGRES_USER:-postgres}" --dbname "$POSTGRES_DB")
"${psql[@]}" --file="${USER_MERGE_SQL:-/user-merge}/roles.sql"
# Not as arguments, which others could see.
"${psql[@]}" <<'SQL'
\getenv owner OWNER_PASSWORD
\getenv worker WORKER_PASSWORD
ALTER ROLE user_merge_owner PASSWORD :'owner';
ALTER ROLE user_merge_worker PASSWORD :'worker';
SQL
