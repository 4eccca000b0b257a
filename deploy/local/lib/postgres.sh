# shellcheck shell=bash
# shellcheck disable=SC2154 # dir is the caller's
# A private PostgreSQL below $dir (set by the caller); sourced, never run.
#   $dir/postgres        data and socket, unless $dir/postgres.elsewhere names
#                        another place
#   $dir/postgres.port   the port that it listens on
#   $dir/postgres.log

pg_port() { first_line "$dir/postgres.port"; }
pg_base() {
    if [[ -s $dir/postgres.elsewhere ]]; then first_line "$dir/postgres.elsewhere"; else printf '%s' "$dir/postgres"; fi
}
pg_pid() { first_line "$(pg_base)/data/postmaster.pid"; }
pg_is_up() { is_alive "$(pg_pid)" "$(pg_base)/data"; }

# The program that fits the data: PostgreSQL's newest may have moved on.
pg() { # PROGRAM ARG...
    local program=$1 bin version
    version=$(first_line "$(pg_base)/data/PG_VERSION")
    bin=/usr/lib/postgresql/$version/bin
    [[ -n $version && -x $bin/postgres ]] || bin=$(postgres_bin) ||
        fail "no PostgreSQL in /usr/lib/postgresql: run deploy/local/install"
    shift
    # From /: the postgres user may not be able to enter the current directory.
    (cd / && exec "${pg_as[@]}" "$bin/$program" "$@")
}

# PostgreSQL refuses to run as root.
pg_as=(env)
((EUID != 0)) || pg_as=(setpriv --reuid=postgres --regid=postgres --init-groups env)

pg_bring_back() {
    [[ -s $dir/postgres.elsewhere ]] || return 0
    local base
    base=$(pg_base)
    mkdir -p "$dir/postgres"
    [[ ! -d $base/data ]] || mv "$base/data" "$dir/postgres/data"
    rm -rf "$base" "$dir/postgres.elsewhere"
}

# Returns 3 when the port is taken.
pg_up() {
    local data from try
    data=$(pg_base)/data
    [[ -s $data/PG_VERSION ]] || fail "there is no PostgreSQL in $dir: run  servers start  first"
    # The pids in these are no process of ours any more, but may be somebody
    # else's or a zombie's: PostgreSQL would take it for a running server.
    rm -f "$data/postmaster.pid" "$(pg_base)"/.s.PGSQL.*
    for try in 1 2 3 4 5; do
        from=$(($(stat -c %s "$dir/postgres.log" 2>/dev/null || say 0) + 1))
        # Closed for the server: 9 is the caller's lock. The log is opened here
        # because the postgres user may not be able to reach it.
        if pg pg_ctl -D "$data" -s -w -t 60 start >>"$dir/postgres.log" 2>&1 </dev/null 9>&-; then return 0; fi
        if tail -c "+$from" "$dir/postgres.log" | grep -q 'could not bind\|could not create any TCP'; then return 3; fi
        # After a SIGKILL the old server's last children may still be going.
        tail -c "+$from" "$dir/postgres.log" | grep -q 'pre-existing shared memory' || break
        sleep "$try"
    done
    show_log "$dir/postgres.log"
    fail "PostgreSQL did not start"
}

pg_stop() {
    if pg_is_up; then
        pg pg_ctl -D "$(pg_base)/data" -s -w -t 30 -m fast stop >>"$dir/postgres.log" 2>&1 || true
        end_process "$(pg_pid)" "$(pg_base)/data" 5 QUIT
    fi
}

# With its children, as a lost machine would: those that are busy would live on
# for a while. Frozen first, so that it makes no new ones.
pg_kill() {
    local pid stat child rest
    pid=$(pg_pid)
    kill -s STOP "$pid"
    for stat in /proc/[0-9]*/stat; do
        { read -r child rest <"$stat"; } 2>/dev/null || continue
        rest=${rest##*) } # after the name: state, parent, ...
        [[ ${rest#* } == "$pid "* ]] && kill -s KILL "$child" 2>/dev/null
    done
    kill -s KILL "$pid"
    wait_gone "$pid" "$(pg_base)/data" 10
}
