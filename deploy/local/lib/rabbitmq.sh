# shellcheck shell=bash
# shellcheck disable=SC2154 # dir is the caller's
# A private RabbitMQ below $dir (set by the caller); sourced, never run.
#   $dir/rabbitmq/         data, cookie, configuration, pids
#   $dir/rabbitmq/ports    AMQP, management, distribution, epmd
#   $dir/rabbitmq.log      what it prints; rabbitmq/log/ has its own logs
# Nodes of one cluster (../cluster) share an epmd, in $epmd_dir, differ in their
# name, $rmq_node, and have settings of their own, $rmq_more_args.

rmq_port() { # amqp|management|dist|epmd
    sed -n "s/^$1=//p" "$dir/rabbitmq/ports" 2>/dev/null
}
rmq_pid() { first_line "$dir/rabbitmq/node.pid"; }
epmd_name() { printf '%s' "${epmd_dir:-$dir}/rabbitmq/epmd"; }
epmd_pid() { first_line "$(epmd_name).pid"; }
# Both have this in their command lines: the node as Erlang's home directory,
# epmd as its own name.
rmq_is_up() { is_alive "$(rmq_pid)" "$dir/rabbitmq/home"; }
epmd_is_up() { is_alive "$(epmd_pid)" "$(epmd_name)"; }

# The data belong to the node's name, so that stays the same when ports change;
# each server, or cluster, has an epmd of its own that knows no other node.
rmq_env() {
    local epmd
    epmd=$(rmq_port epmd)
    export HOME=$dir/rabbitmq/home RABBITMQ_NODENAME=${rmq_node:-user_merge}@localhost \
        RABBITMQ_MNESIA_BASE=$dir/rabbitmq/mnesia RABBITMQ_LOG_BASE=$dir/rabbitmq/log \
        RABBITMQ_CONFIG_FILE=$dir/rabbitmq/rabbitmq.conf RABBITMQ_CONF_ENV_FILE=$dir/rabbitmq/none \
        RABBITMQ_ENABLED_PLUGINS_FILE=$dir/rabbitmq/enabled_plugins \
        RABBITMQ_PID_FILE=$dir/rabbitmq/ready.pid RABBITMQ_DIST_PORT ERL_EPMD_PORT=$epmd \
        ERL_EPMD_ADDRESS=127.0.0.1 \
        RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS="-start_epmd false -kernel inet_dist_use_interface {127,0,0,1} ${rmq_more_args:-}" \
        RUNNING_UNDER_SYSTEMD=true # no shell between us and the node
    RABBITMQ_DIST_PORT=$(rmq_port dist)
}

# Bash's own TCP: curl may not be installed. A server that is starting or dying
# may hang up before we have asked: that must not end the script (SIGPIPE).
rmq_answers() (
    trap '' PIPE
    reply=
    {
        exec 3<>"/dev/tcp/127.0.0.1/$(rmq_port management)" || exit 1
        printf 'GET /api/health/checks/port-listener/%s HTTP/1.0\r\nAuthorization: Basic %s\r\n\r\n' \
            "$(rmq_port amqp)" "$(printf 'guest:guest' | base64)" >&3
        read -t 5 -r reply <&3 || true
    } 2>/dev/null
    [[ $reply == *' 200 '* ]]
)

epmd_up() {
    epmd_is_up && return 0
    (
        # shellcheck disable=SC2016
        cd / && exec setsid bash -c 'exec -a "$0" epmd -address 127.0.0.1 -port "$1"' \
            "$(epmd_name)" "$(rmq_port epmd)"
    ) >>"$dir/rabbitmq.log" 2>&1 </dev/null 9>&- &
    say $! >"$(epmd_name).pid"
    disown
    local end=$((SECONDS + 5))
    until port_open "$(rmq_port epmd)" || ((SECONDS >= end)); do sleep 0.1; done
    sleep 0.1 # one that can't bind is gone by now, and the port somebody else's
    epmd_is_up
}

# Returns 3 when a port is taken.
rmq_up() {
    local from end=$((SECONDS + 120))
    [[ -f $dir/rabbitmq/rabbitmq.conf ]] || fail "there is no RabbitMQ in $dir: run  servers start  first"
    epmd_up || return 3
    from=$(($(stat -c %s "$dir/rabbitmq.log" 2>/dev/null || say 0) + 1))
    (
        rmq_env
        cd / && exec setsid "$(rabbitmq_bin)/rabbitmq-server"
    ) >>"$dir/rabbitmq.log" 2>&1 </dev/null 9>&- &
    say $! >"$dir/rabbitmq/node.pid"
    disown
    while ((SECONDS < end)); do
        rmq_answers && rmq_is_up && return 0
        if [[ ! -d /proc/$(rmq_pid) || $(cut -d' ' -f3 "/proc/$(rmq_pid)/stat" 2>/dev/null) == Z ]]; then
            tail -c "+$from" "$dir/rabbitmq.log" | grep -qi 'eaddrinuse\|port .* in use\|could_not_start_listener' && return 3
            break
        fi
        sleep 0.2
    done
    show_log "$dir/rabbitmq.log"
    fail "RabbitMQ did not start (its own log: $dir/rabbitmq/log/)"
}

# Cleanly takes 1 to 6 s; a stuck queue can hold it up for minutes.
rmq_stop() { end_process "$(rmq_pid)" "$dir/rabbitmq/home" 20 TERM; }
epmd_stop() { end_process "$(epmd_pid)" "$(epmd_name)" 5 TERM; }

rmq_kill() {
    kill -s KILL "$(rmq_pid)"
    wait_gone "$(rmq_pid)" "$dir/rabbitmq/home" 10
}

rmq_ctl() { # ARG...
    rmq_is_up || fail "RabbitMQ is not running in $dir"
    (
        rmq_env
        export RABBITMQ_CTL_ERL_ARGS='-start_epmd false' # it would stay
        cd / && exec "$(rabbitmq_bin)/rabbitmqctl" "$@"
    )
}
