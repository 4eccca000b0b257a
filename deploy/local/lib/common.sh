# shellcheck shell=bash
# Shared by the scripts beside this directory; sourced, never run.

say() { printf '%s\n' "$*"; }
warn() { printf '%s\n' "$*" >&2; }
fail() {
    warn "error: $*"
    exit 1
}

# The newest PostgreSQL by version number: 9 must not win over 15.
postgres_bin() {
    local initdb
    initdb=$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort -V | tail -n 1)
    [[ -x $initdb ]] && dirname "$initdb"
}

rabbitmq_bin() {
    # Debian's /usr/sbin/rabbitmq* switch user or refuse to run; these don't.
    [[ -x /usr/lib/rabbitmq/bin/rabbitmq-server ]] && say /usr/lib/rabbitmq/bin
}

# True while PID is a living process whose command line contains WORD. A pid
# alone is not enough: it may be a zombie's (whose command line is empty), or
# after a reboot somebody else's.
is_alive() { # PID WORD
    [[ $1 =~ ^[0-9]+$ && -r /proc/$1/cmdline ]] || return 1
    grep -qzF -- "$2" "/proc/$1/cmdline" 2>/dev/null
}

wait_gone() { # PID WORD SECONDS
    local end=$((SECONDS + $3))
    while is_alive "$1" "$2"; do
        ((SECONDS < end)) || return 1
        sleep 0.1
    done
}

# TERM first; KILL only for what doesn't go within SECONDS.
end_process() { # PID WORD SECONDS SIGNAL
    is_alive "$1" "$2" || return 0
    kill -s "$4" "$1" 2>/dev/null || true
    wait_gone "$1" "$2" "$3" && return 0
    warn "process $1 did not stop within $3 s, killing it"
    kill -s KILL "$1" 2>/dev/null || true
    wait_gone "$1" "$2" 10
}

first_line() { # FILE
    local line=
    [[ -r $1 ]] && read -r line <"$1"
    printf '%s' "$line"
}

# All TCP ports in use on this machine, listening or not.
used_ports() {
    local hex
    awk 'FNR > 1 { n = split($2, part, ":"); print part[n] }' /proc/net/tcp /proc/net/tcp6 2>/dev/null |
        sort -u | while read -r hex; do say $((16#$hex)); done
}

# COUNT different free ports, one a line. The range lies above the standard
# ports of both servers and below the one that outgoing connections use.
# Between this and the server's bind another process may take one: callers
# try again with new ports when a server can't bind.
free_ports() { # COUNT
    local used port found=0
    used=" $(used_ports | tr '\n' ' ')"
    while ((found < $1)); do
        port=$((26000 + RANDOM % 6000))
        [[ $used == *" $port "* ]] && continue
        used+="$port "
        found=$((found + 1))
        say "$port"
    done
}

port_open() { # PORT
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Seconds since START (of $EPOCHREALTIME), with one decimal. The separator in
# these depends on the locale.
seconds_since() { # START
    local now=${EPOCHREALTIME/[.,]/} tenths
    tenths=$(((now - ${1/[.,]/}) / 100000))
    printf '%d.%d' $((tenths / 10)) $((tenths % 10))
}

show_log() { # FILE
    [[ -s $1 ]] || return 0
    warn "--- the last lines of $1:"
    tail -n 20 "$1" >&2
    warn "---"
}
