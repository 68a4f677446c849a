#!/bin/sh
# Says whether this node answers; whether the cluster is whole is told by form.sh and by the monitoring.
set -eu
secrets=${REDIS_SECRETS:-/run/secrets}
tls=
[ "${NIGHTSHELF_REDIS_TLS:-false}" = true ] && tls="--tls --cacert $secrets/redis_ca"
REDISCLI_AUTH=$(head -n 1 "$secrets/redis_monitor_password")
export REDISCLI_AUTH
# shellcheck disable=SC2086  # options are words
[ "$(redis-cli -h "$NODE_NAME" --user monitor --no-auth-warning $tls ping)" = PONG ]
