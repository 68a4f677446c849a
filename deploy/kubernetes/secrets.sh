#!/usr/bin/env bash
# The Secrets of the pods, from the folder that deploy/secrets.sh and deploy/certificates.sh fill (NIGHTSHELF_SECRETS, deploy/secrets).
# In: `print [NAMESPACE]`. Out: manifests on standard output, for `kubectl apply --filename -`; nothing is written to disk. Who has
# an operator for external secrets makes the same names and keys with it instead.
set -euo pipefail
folder=${NIGHTSHELF_SECRETS:-$(dirname "$0")/../secrets}
[ "${1:-}" = print ] || { echo "usage: deploy/kubernetes/secrets.sh print [NAMESPACE] | kubectl apply --filename -" >&2; exit 2; }
namespace=${2:-nightshelf}

NIGHTSHELF_SECRETS=$(realpath "$folder") "$(dirname "$0")/../secrets.sh" check
if ! [ -s "$folder/redis_ca" ] || ! [ -s "$folder/edge_certificate" ] || ! [ -s "$folder/edge_key" ]; then
    echo "error: $folder lacks redis_ca, edge_certificate or edge_key" >&2
    echo "  do: deploy/certificates.sh redis $folder redis-{1..6} (or the authority of a managed Redis, as redis_ca)" >&2
    echo "  do: deploy/certificates.sh edge $folder NAME (or your own pair, under these names)" >&2
    exit 1
fi

secret() { # secret NAME FILE...
    local name=$1 file
    local -a from=()
    shift
    for file in "$@"; do from+=("--from-file=$file=$folder/$file"); done
    made "$name" "${from[@]}"
}
made() { # made NAME OPTION...
    local name=$1
    shift
    kubectl create secret generic "$name" --namespace "$namespace" "$@" --dry-run=client --output yaml
    echo ---
}
first() { head -n 1 "$folder/$1" | tr -d '\n'; }
# What deploy/airflow/settings.py derives from the one secret of Airflow.
derived() {
    python3 -c 'import hmac, sys; sys.stdout.buffer.write(hmac.digest(open(sys.argv[1]).readline().strip().encode(), sys.argv[2].encode(), "sha256"))' \
        "$folder/airflow_secret" "$1"
}

# Of a password the first line is used; those below are valid beside it, in Redis alone.
secret redis-edge redis_edge_password
secret redis-loader redis_loader_password
secret redis-ca redis_ca
secret api-keys api_keys
# For a Redis inside; a managed one has users of its own.
if [ -s "$folder/redis_certificate" ]; then
    secret redis-nodes redis_{edge,loader,monitor,replica,admin}_password redis_{ca,certificate,key}
fi
# For Airflow's chart, where its database is named.
if [ -n "${NIGHTSHELF_POSTGRES_HOST:-}" ]; then
    made airflow-fernet "--from-file=fernet-key="<(derived fernet | base64 --wrap 0 | tr '+/' '-_')
    made airflow-api "--from-file=api-secret-key="<(derived session | od -An -v -tx1 | tr -d ' \n')
    made airflow-jwt "--from-file=jwt-secret="<(derived jwt | od -An -v -tx1 | tr -d ' \n')
    made airflow-metadata "--from-file=connection="<(
        printf 'postgresql+psycopg2://airflow:%s@%s/airflow' "$(first postgres_password)" "$NIGHTSHELF_POSTGRES_HOST"
    )
    made airflow-passwords "--from-file=passwords.json="<(printf '{"admin": "%s"}' "$(first airflow_password)")
else
    echo "no Secrets for Airflow: NIGHTSHELF_POSTGRES_HOST is not set" >&2
fi
kubectl create secret tls edge-tls --namespace "$namespace" --cert "$folder/edge_certificate" --key "$folder/edge_key" \
    --dry-run=client --output yaml
