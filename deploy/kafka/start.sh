#!/bin/bash
# Start the only broker of a cluster, which is its only controller too: start.sh COMMAND
#
# COMMAND becomes the broker by the KAFKA_* variables, as /etc/kafka/docker/run of apache/kafka does. After a kill the controller is
# started alone first, until it has fenced the broker: Kafka 4.1 to 4.3 may otherwise complete transactions without their markers, and
# committed readers then wait for ever. meshport/local/fencing.py has the cause, and does the same for the embedded Kafka.
set -euo pipefail
data=${KAFKA_LOG_DIRS:-/var/lib/kafka/data}
PATIENCE_S=120

was_killed() { [ -d "$data/__cluster_metadata-0" ] && [ ! -e "$data/.kafka_cleanshutdown" ]; }

# The last record about the broker that the active controller has replayed or added: true and 1 fence it.
is_fenced() {
    grep -q 'Becoming the active controller' "$1" &&
        grep -oE '(RegisterBrokerRecord|BrokerRegistrationChangeRecord)\(brokerId=1,.*[ (]fenced=(true|false|-?[01])' "$1" | tail -n 1 | grep -qE 'fenced=(true|1)$'
}

fence() {
    local log controller
    log=$(mktemp)
    env -u KAFKA_ADVERTISED_LISTENERS -u KAFKA_INTER_BROKER_LISTENER_NAME KAFKA_PROCESS_ROLES=controller \
        KAFKA_LISTENERS="$(grep -o 'CONTROLLER://[^,]*' <<<"$KAFKA_LISTENERS")" \
        KAFKA_BROKER_SESSION_TIMEOUT_MS=500 KAFKA_BROKER_HEARTBEAT_INTERVAL_MS=250 "$@" >"$log" 2>&1 &
    controller=$!
    trap 'kill -TERM "$controller"; wait "$controller"; exit 143' TERM INT
    for ((tries = 0; tries < 5 * PATIENCE_S; tries++)); do
        is_fenced "$log" && break
        kill -0 "$controller" 2>/dev/null || break
        sleep 0.2
    done
    if is_fenced "$log"; then
        sleep 1 # the record is logged before it is stored
        echo "The broker was killed, and its controller has fenced it."
    else
        echo "The broker was killed, and its controller did not fence it within $PATIENCE_S s; its log ends with:" >&2
        tail -n 20 "$log" >&2
    fi
    kill -TERM "$controller" 2>/dev/null || true
    wait "$controller" || true
    trap - TERM INT
    rm -f "$log"
}

if was_killed; then
    fence "$@"
fi
exec "$@"
