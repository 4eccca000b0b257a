# shellcheck shell=bash
# shellcheck disable=SC2154 # dir and fast are the caller's
# Makes and starts the PostgreSQL of postgres.sh; sourced, never run.

pg_usable() { # BASE
    # The kernel takes 107 bytes for the path of a socket.
    ((${#1} + 16 <= 107)) || return 1
    mkdir -p "$1" && chmod 700 "$1"
    ((EUID != 0)) || chown postgres:postgres "$1"
    (cd / && "${pg_as[@]}" test -w "$1" -a -x "$1" 2>/dev/null)
}

# Where the checkout lies in a directory that the postgres user can't enter
# (/root, say), or too deep for a socket, the data go to /var/tmp while the
# server runs and come back when it stops.
pg_place() {
    local base
    base=$(pg_base)
    if pg_usable "$base"; then return; fi
    if [[ $base == "$dir/postgres" ]]; then
        base=$(mktemp -d /var/tmp/user-merge-postgres.XXXXXX)
        say "$base" >"$dir/postgres.elsewhere"
    else
        mkdir -p "$base" # a reboot may have emptied /var/tmp
    fi
    [[ ! -d $dir/postgres/data ]] || mv "$dir/postgres/data" "$base/data"
    pg_usable "$base" || fail "PostgreSQL can't write to $base"
}

pg_write_config() { # FAST
    local base
    base=$(pg_base)
    {
        say "listen_addresses = '127.0.0.1'"
        say "port = $(pg_port)"
        say "unix_socket_directories = '${base//\'/\'\'}'"
        say "max_connections = 200"
        say "log_line_prefix = '%m [%p] %q%u@%d '"
        say "log_lock_waits = on"
        # For the tests only: loses data when the machine goes down, but nothing
        # that was committed when only the server is killed.
        (($1 == 0)) || printf '%s = off\n' fsync full_page_writes
    } >"$base/data/local.conf"
    chmod 644 "$base/data/local.conf"
}

# The marker is written last, so an interrupted first start begins again.
pg_init() {
    local data
    data=$(pg_base)/data
    [[ ! -f $data/local.made ]] || return 0
    rm -rf "$data"
    pg initdb --no-sync -A trust -U postgres -E UTF8 --locale=C.UTF-8 -D "$data" >>"$dir/postgres.log" 2>&1 ||
        { show_log "$dir/postgres.log"; fail "PostgreSQL's initdb failed"; }
    say "include 'local.conf'" >>"$data/postgresql.conf"
}

pg_make_database() {
    local data
    data=$(pg_base)/data
    [[ ! -f $data/local.made ]] || return 0
    printf '%s\n' 'CREATE ROLE user_merge LOGIN CREATEDB CREATEROLE;' 'CREATE DATABASE user_merge OWNER user_merge;' \
        'GRANT pg_read_all_stats TO user_merge WITH ADMIN OPTION;' |
        pg psql -qX -v ON_ERROR_STOP=1 -h 127.0.0.1 -p "$(pg_port)" -U postgres -d postgres >>"$dir/postgres.log" 2>&1 ||
        { show_log "$dir/postgres.log"; fail "the database user_merge could not be made"; }
    : >"$data/local.made"
}

start_postgres() {
    local began=$EPOCHREALTIME try rc=3
    if pg_is_up; then
        say "PostgreSQL is already running on port $(pg_port)"
        return
    fi
    pg_place
    pg_init
    for try in 1 2 3 4 5; do
        if ((try > 1)) || [[ -z $(pg_port) ]] || port_open "$(pg_port)"; then
            free_ports 1 >"$dir/postgres.port"
        fi
        pg_write_config "$fast"
        rc=0
        pg_up || rc=$?
        ((rc == 3)) || break
    done
    ((rc == 0)) || fail "PostgreSQL found no free port"
    pg_make_database
    say "PostgreSQL is ready on port $(pg_port) ($(seconds_since "$began") s)"
}
