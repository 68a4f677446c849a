#!/bin/sh
# Starts one node of the cluster.
# In: NODE_NAME and NODE_ADDRESS, the password files, NIGHTSHELF_REDIS_TLS (true or false), NIGHTSHELF_REDIS_MEMORY. Out: redis-server
# in place of this shell. The users are written anew from the password files at every start.
set -eu
here=$(dirname "$0")
secrets=${REDIS_SECRETS:-/run/secrets}
run=${REDIS_RUN:-/run/redis}
port=${NODE_PORT:-6379}

umask 077
"$here/users.sh" print >"$run/users.acl"
{
    cat "$here/redis.conf"
    echo "dir ${REDIS_DATA:-/data}"
    echo "aclfile $run/users.acl"
    echo "masteruser replica"
    echo "masterauth $(head -n 1 "$secrets/redis_replica_password")"
    echo "maxmemory ${NIGHTSHELF_REDIS_MEMORY:-256mb}"
    echo "cluster-announce-ip $NODE_ADDRESS"
    # Clients are told names: certificates bear names, and an address may change.
    echo "cluster-announce-hostname $NODE_NAME"
    echo "cluster-preferred-endpoint-type hostname"
    if [ "${NIGHTSHELF_REDIS_TLS:-false}" = true ]; then
        echo "port 0"
        echo "tls-port $port"
        echo "tls-cluster yes"
        echo "tls-replication yes"
        # Both ends of the bus show certificates; clients show passwords.
        echo "tls-auth-clients optional"
        echo "tls-cert-file $secrets/redis_certificate"
        echo "tls-key-file $secrets/redis_key"
        echo "tls-ca-cert-file $secrets/redis_ca"
        echo "tls-protocols \"TLSv1.2 TLSv1.3\""
    else
        echo "port $port"
    fi
} >"$run/redis.conf"
# A primary that is back before it was missed is a primary still, with what its last snapshot held, and its Redis replica takes that
# over. So a node that knows of Redis replicas first lets one be promoted: the node time-out, as much again, an election.
if grep -q slave "${REDIS_DATA:-/data}/nodes.conf" 2>/dev/null; then
    sleep 6
fi
exec redis-server "$run/redis.conf" "$@"
