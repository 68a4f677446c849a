#!/bin/sh
# Makes one cluster of the nodes, once.
# In: REDIS_NODES (host:port, primaries first, blanks between), the password files, NIGHTSHELF_REDIS_TLS. Out: primaries, each with
# its Redis replicas (REDIS_REPLICAS, 1) in sync. Run again, it waits for the same and changes nothing.
set -eu
secrets=${REDIS_SECRETS:-/run/secrets}
deadline_s=${FORM_DEADLINE_S:-120}
REDISCLI_AUTH=$(head -n 1 "$secrets/redis_admin_password")
export REDISCLI_AUTH
tls=
[ "${NIGHTSHELF_REDIS_TLS:-false}" = true ] && tls="--tls --cacert $secrets/redis_ca"

ask() {
    node=$1
    shift
    # shellcheck disable=SC2086  # options are words
    redis-cli -h "${node%:*}" -p "${node#*:}" --user admin --no-auth-warning $tls "$@" 2>/dev/null
}

every() {
    for node in $REDIS_NODES; do
        "$@" "$node" || { waiting=$node; return 1; }
    done
}

answers() { [ "$(ask "$1" ping)" = PONG ]; }
whole() {
    info=$(ask "$1" cluster info | tr -d '\r')
    for line in cluster_state:ok cluster_slots_ok:16384 "cluster_known_nodes:$count"; do
        echo "$info" | grep -qx "$line" || return 1
    done
}
# A primary lost before its Redis replica has synced is lost for good.
synced() { ask "$1" info replication | grep -Eq "role:master|master_link_status:up"; }

until_every() {
    started=$(date +%s)
    until every "$1"; do
        if [ $(($(date +%s) - started)) -gt "$deadline_s" ]; then
            echo "error: $waiting: not $1 after $deadline_s s; see its log" >&2
            exit 1
        fi
        sleep 0.5
    done
}

count=$(echo "$REDIS_NODES" | wc -w)
until_every answers
first=${REDIS_NODES%% *}
if [ "$(ask "$first" cluster info | tr -d '\r' | sed -n 's/^cluster_slots_assigned://p')" = 0 ]; then
    if [ $((count / (${REDIS_REPLICAS:-1} + 1))) -eq 1 ]; then
        # redis-cli makes no cluster of one primary.
        ask "$first" cluster addslotsrange 0 16383 >/dev/null
        for node in ${REDIS_NODES#"$first"}; do
            # shellcheck disable=SC2086  # options are words
            redis-cli --user admin --no-auth-warning $tls --cluster add-node "$node" "$first" --cluster-slave
        done
    else
        # shellcheck disable=SC2086  # options and nodes are words
        redis-cli --user admin --no-auth-warning $tls --cluster create $REDIS_NODES --cluster-replicas "${REDIS_REPLICAS:-1}" --cluster-yes
    fi
fi
until_every whole
until_every synced
echo "the Redis Cluster is whole: $count nodes"
