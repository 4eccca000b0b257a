# shellcheck shell=bash
# shellcheck disable=SC2154 # dir is the caller's
# Makes and starts the RabbitMQ of rabbitmq.sh; sourced, never run.

rmq_new_ports() {
    local port
    mapfile -t port < <(free_ports 4)
    printf 'amqp=%s\nmanagement=%s\ndist=%s\nepmd=%s\n' "${port[@]}" >"$dir/rabbitmq/ports"
}

rmq_write_config() {
    mkdir -p "$dir/rabbitmq/home" "$dir/rabbitmq/log"
    say '[rabbitmq_management].' >"$dir/rabbitmq/enabled_plugins"
    {
        say "listeners.tcp.default = 127.0.0.1:$(rmq_port amqp)"
        say "management.tcp.ip = 127.0.0.1"
        say "management.tcp.port = $(rmq_port management)"
        say "vm_memory_high_watermark.absolute = 1GB"
        say "disk_free_limit.absolute = 100MB"
    } >"$dir/rabbitmq/rabbitmq.conf"
}

start_rabbitmq() {
    local began=$EPOCHREALTIME try rc=3 name
    if rmq_is_up; then
        say "RabbitMQ is already running on port $(rmq_port amqp)"
        return
    fi
    rabbitmq_bin >/dev/null || fail "no RabbitMQ in /usr/lib/rabbitmq: run deploy/local/install"
    mkdir -p "$dir/rabbitmq"
    epmd_stop
    for try in 1 2 3 4 5; do
        for name in amqp management dist epmd; do
            if ((try > 1)) || [[ -z $(rmq_port $name) ]] || port_open "$(rmq_port $name)"; then
                epmd_stop
                rmq_new_ports
                break
            fi
        done
        rmq_write_config
        rc=0
        rmq_up || rc=$?
        ((rc == 3)) || break
    done
    ((rc == 0)) || fail "RabbitMQ found no free ports"
    say "RabbitMQ is ready on port $(rmq_port amqp), management on $(rmq_port management) ($(seconds_since "$began") s)"
}
