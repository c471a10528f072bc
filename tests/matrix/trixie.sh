#!/usr/bin/env bash
# Runs a command beside RabbitMQ 4.0 and PostgreSQL 17, the servers of Debian 13, from a folder that holds that Debian.
#
#   tests/matrix/trixie.sh FOLDER COMMAND…
#
# It takes root, debootstrap and a Debian mirror. The first run fills the folder in about two minutes (1 GB). The servers
# listen on free ports of this machine, begin empty, and end with the command or with this script, however it ends.
# The command finds them by TEST_DATABASE_URL, TEST_BROKER_URL, and a rabbitmqctl on its PATH.
set -euo pipefail

folder=$(realpath --canonicalize-missing "${1:?name a folder for Debian 13}")
shift

fill() {
    if [[ -e $folder/filled ]]; then
        return
    fi
    debootstrap --variant=minbase trixie "$folder" > /dev/null
    printf '#!/bin/sh\nexit 101\n' > "$folder/usr/sbin/policy-rc.d" # no package starts a server
    chmod +x "$folder/usr/sbin/policy-rc.d"
    DEBIAN_FRONTEND=noninteractive chroot "$folder" \
        apt-get install --quiet=2 --yes --no-install-recommends postgresql rabbitmq-server util-linux > /dev/null
    echo "127.0.0.1 localhost" > "$folder/etc/hosts"
    touch "$folder/filled"
}

free_ports() {
    python3 -c 'import socket; s = [socket.create_server(("127.0.0.1", 0)) for _ in range(4)]; print(*(x.getsockname()[1] for x in s))'
}

wait_for() { # COMMAND…: until it succeeds, as long as the servers run
    local deadline=$((SECONDS + 120))
    until "$@" &> /dev/null; do
        if ((SECONDS >= deadline)) || ! kill -0 "$servers" 2> /dev/null; then
            echo "$0: the servers do not start; $run/log says why" >&2
            tail -n 20 "$run/log" >&2
            exit 1
        fi
        sleep 0.2
    done
}

fill
run=$(mktemp -d "$folder/var/tmp/matrix.XXXXXX")
inside=${run#"$folder"}
read -r postgres_port broker_port distribution_port epmd_port < <(free_ports)
chmod 755 "$run"
mkdir -p "$run/bin" "$run/rabbitmq" "$run/postgres"
chroot "$folder" chown rabbitmq: "$inside/rabbitmq"
chroot "$folder" chown postgres: "$inside/postgres"
printf 'listeners.tcp.default = 127.0.0.1:%s\n' "$broker_port" > "$run/rabbitmq.conf"
: > "$run/env"
echo '[].' > "$run/plugins"

node=(
    env -i "PATH=$PATH" LANG=C.UTF-8 "HOME=$inside/rabbitmq" RABBITMQ_NODENAME=matrix@localhost
    "RABBITMQ_DIST_PORT=$distribution_port" "RABBITMQ_MNESIA_BASE=$inside/rabbitmq/data" "RABBITMQ_LOG_BASE=$inside/rabbitmq/log"
    "RABBITMQ_CONFIG_FILE=$inside/rabbitmq" "RABBITMQ_ENABLED_PLUGINS_FILE=$inside/plugins" "RABBITMQ_CONF_ENV_FILE=$inside/env"
    "ERL_EPMD_PORT=$epmd_port" ERL_EPMD_ADDRESS=127.0.0.1 "ERL_FLAGS=-kernel inet_dist_use_interface {127,0,0,1}"
)
as_rabbitmq=(runuser --user rabbitmq -- "${node[@]}")
cat > "$run/servers" << SERVERS
set -e
$(printf '%q ' "${as_rabbitmq[@]}") /usr/lib/rabbitmq/bin/rabbitmq-server &
cd $inside/postgres
export LANG=C.UTF-8
runuser --user postgres -- /usr/lib/postgresql/17/bin/initdb --auth=trust --no-sync --pgdata=data
runuser --user postgres -- /usr/lib/postgresql/17/bin/postgres -D data -p $postgres_port \
    -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 &
wait
SERVERS
cat > "$run/bin/rabbitmqctl" << CTL
#!/bin/bash
given=()
if [[ \${!#} == import_definitions ]]; then # in there, it never sees the end of its standard input
    file=\$(mktemp $run/definitions.XXXXXX)
    cat > \$file
    chmod 644 \$file
    given=(\${file#$folder})
fi
exec chroot $folder $(printf '%q ' "${as_rabbitmq[@]}") /usr/lib/rabbitmq/bin/rabbitmqctl "\$@" "\${given[@]}" < /dev/null
CTL
chmod +x "$run/bin/rabbitmqctl"

# A process namespace of their own: when its first process ends, the kernel ends all of it. That one ends with this script.
setpriv --pdeathsig KILL unshare --mount --pid --fork --kill-child --mount-proc="$folder/proc" \
    chroot "$folder" bash "$inside/servers" &> "$run/log" < /dev/null &
servers=$!
trap '{ kill -KILL "$servers"; wait "$servers"; } 2> /dev/null || true; rm -rf "$run"' EXIT
trap 'exit 130' INT TERM

wait_for bash -c "exec 3<> /dev/tcp/127.0.0.1/$postgres_port"
wait_for "$run/bin/rabbitmqctl" await_startup --timeout 5
export TEST_DATABASE_URL="postgresql://postgres@127.0.0.1:$postgres_port/postgres"
export TEST_BROKER_URL="amqp://guest:guest@127.0.0.1:$broker_port//"
PATH="$run/bin:$PATH" "$@"
