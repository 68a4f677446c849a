#!/usr/bin/env bash
# The stack on one host, by docker-compose. In: a verb, deploy/.env (or the file in NIGHTSHELF_SETTINGS). Out: see the
# verbs below; each says what it does and ends with an error where it could not.
#   build [VERSION]    build this checkout's images, as NIGHTSHELF_VERSION if no other is named
#   up                 start everything and wait until it is whole; again: take up changed settings
#   scale N            run N replicas of the edge
#   roll VERSION       exchange the replicas of the edge for those of another version, none before its successor answers
#   jobs COMMAND...    run one nightshelf command beside the artifacts
#   users              tell the running Redis nodes what the password files say now
#   keys COMMAND...    API keys: list, add CALLER, revoke CALLER HASH; a key that is added is printed once
#   certificate C K    take up the certificate of file C with the key of file K; what a renewal hook calls
#   audit-log          who did what, as JSON lines: verbs of this script, releases, Airflow, API keys, refusals of Redis
#   backup FOLDER      Airflow's database and the artifacts, into FOLDER
#   restore FOLDER     both from FOLDER, then Redis from the artifacts; what was there is replaced
#   down               stop; volumes stay
set -euo pipefail
cd "$(dirname "$0")/.."
settings=${NIGHTSHELF_SETTINGS:-.env}
if [ -f "$settings" ]; then
    set -a
    # shellcheck disable=SC1090  # written by whoever runs this
    . "$(realpath "$settings")"
    set +a
fi
export COMPOSE_PROFILES=${COMPOSE_PROFILES:-proxy}
export NIGHTSHELF_VERSION=${NIGHTSHELF_VERSION:-0.2.0}
project=${COMPOSE_PROJECT_NAME:-nightshelf}
secrets=${NIGHTSHELF_SECRETS:-./secrets}
edges=${NIGHTSHELF_EDGES:-2}

if command -v docker-compose >/dev/null; then compose=(docker-compose); else compose=(docker compose); fi
compose+=(--project-name "$project" --project-directory . --file containers/compose.yaml)
has() { [[ ,$COMPOSE_PROFILES, == *,$1,* ]]; }
if has logging; then compose+=(--file containers/compose.logging.yaml); fi
if has monitoring; then export NIGHTSHELF_AIRFLOW_STATSD_HOST=statsd; fi
if has tracing; then export NIGHTSHELF_TRACES=${NIGHTSHELF_TRACES:-http://jaeger:4318/v1/traces}; fi
# The way in, if it is one of ours.
front=
if has proxy; then front=nginx; fi
if has waf; then front=waf; fi
if [ -f "$settings" ]; then compose+=(--env-file "$settings"); fi

redis_tls=
if [ "${NIGHTSHELF_REDIS_TLS:-false}" = true ]; then redis_tls="--tls --cacert /run/secrets/redis_ca"; fi

edge_ids() { docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$project" --filter label=com.docker.compose.service=edge; }
health() { docker inspect --format '{{.State.Health.Status}}' "$1"; }
# Ready, not only alive: it has read the live release, if there is one.
ready() {
    docker exec "$1" python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:8081/readyz', timeout=2)" >/dev/null 2>&1
}

wait_for() { # wait_for SECONDS WHAT COMMAND...
    local until=$((SECONDS + $1)) what=$2
    shift 2
    until "$@"; do
        if [ $SECONDS -gt "$until" ]; then
            echo "error: not in time: $what" >&2
            exit 1
        fi
        sleep 0.5
    done
}

build() {
    local target locks=()
    if has tracing; then locks=(--build-arg SERVING_LOCK=serving-tracing --build-arg JOBS_LOCK=jobs-tracing); fi
    for target in serving jobs airflow proxy waf monitoring; do
        # These two are built where they run; `keys` runs in proxy wherever.
        if [[ $target == @(waf|monitoring) ]] && ! has "$target"; then continue; fi
        docker build "${locks[@]}" --quiet --file containers/Dockerfile --target "$target" --build-arg "VERSION=$NIGHTSHELF_VERSION" \
            --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
            ${PYTHON_IMAGE:+--build-arg "PYTHON_IMAGE=$PYTHON_IMAGE"} --tag "nightshelf/$target:$NIGHTSHELF_VERSION" ..
    done
}

up() {
    if [ -z "${NIGHTSHELF_PUBLIC_URL:-}" ]; then
        echo "error: NIGHTSHELF_PUBLIC_URL is not set" >&2
        echo "  do: cp deploy/.env.example deploy/.env, and name the address that people use" >&2
        exit 1
    fi
    if has proxy && has waf; then
        echo "error: COMPOSE_PROFILES names proxy and waf: both are the way in" >&2
        echo "  do: leave one of them out" >&2
        exit 1
    fi
    NIGHTSHELF_SECRETS=$secrets ./secrets.sh check
    ./certificates.sh redis "$secrets" redis-{1..6}
    if ! [ -s "$secrets/edge_certificate" ] || ! [ -s "$secrets/edge_key" ]; then
        echo "error: no certificate: $secrets/edge_certificate and edge_key" >&2
        echo "  do: put yours there, or try it out with: deploy/certificates.sh edge $secrets NAME" >&2
        exit 1
    fi
    if [ "$(edge_ids | wc -l)" -gt "$edges" ]; then scale "$edges"; fi
    "${compose[@]}" up --detach --scale "edge=$edges"
    wait_for 180 "Airflow's pages" answers airflow-api
    if [ -n "$front" ]; then wait_for 60 NGINX answers $front; fi
}

answers() {
    local id
    id=$("${compose[@]}" ps --quiet "$1")
    [ -n "$id" ] && [ "$(health "$id")" = healthy ]
}

address() { docker inspect --format "{{(index .NetworkSettings.Networks \"${project}_edge\").IPAddress}}:8081" "$1"; }
front_id() { if [ -n "$front" ]; then "${compose[@]}" ps --quiet "$front"; fi; }
# Says whom it asks: NGINX run by follow.py.
follows() { [ -n "$1" ] && docker exec "$1" test -e /run/nginx/replicas; }
sends_to() { docker exec "$1" grep -qxF "$2" /run/nginx/replicas; }
sends_to_none_of() { ! docker exec "$1" grep -qxF "$2" /run/nginx/replicas; }

# Stops replicas of the edge, none before NGINX has left it: nobody is sent to one that is gone.
leave() {
    local id way leaving
    way=$(front_id)
    leaving=$(for id in "$@"; do address "$id"; done)
    if follows "$way"; then
        docker exec --interactive "$way" sh -c 'cat >/run/nginx/leaving' <<<"$leaving"
        wait_for 120 "NGINX leaves $*" sends_to_none_of "$way" "$leaving"
    else
        # A load balancer of somebody else's, which asks /readyz by itself.
        sleep 3
    fi
    for id in "$@"; do
        docker stop --time 15 "$id" >/dev/null
        docker rm "$id" >/dev/null
    done
    if [ -n "$way" ]; then docker exec "$way" rm -f /run/nginx/leaving; fi
}

scale() {
    if ! [[ $1 =~ ^[1-9][0-9]*$ ]]; then
        echo "error: scale needs a number of replicas, one at least, not $1" >&2
        exit 1
    fi
    local there
    mapfile -t there < <(edge_ids)
    if [ ${#there[@]} -gt "$1" ]; then leave "${there[@]:0:${#there[@]}-$1}"; fi
    "${compose[@]}" up --detach --no-deps --no-recreate --scale "edge=$1" edge
}

roll() {
    local old id
    mapfile -t old < <(edge_ids)
    export NIGHTSHELF_VERSION=$1
    # Successors come beside those that are there. Where the new version never gets ready, they go again, and no one saw them.
    "${compose[@]}" up --detach --no-deps --no-recreate --scale "edge=$((2 * ${#old[@]}))" edge
    mapfile -t new < <(edge_ids | grep -vxF "$(printf '%s\n' "${old[@]}")")
    for id in "${new[@]}"; do
        if ! (wait_for "${ROLL_DEADLINE_S:-90}" "version $1 gets ready" ready "$id"); then
            docker logs --tail 20 "$id" >&2
            docker rm --force "${new[@]}" >/dev/null
            echo "error: version $1 does not get ready; the running one stays" >&2
            exit 1
        fi
    done
    local way
    way=$(front_id)
    if follows "$way"; then
        for id in "${new[@]}"; do wait_for 120 "NGINX sends requests to version $1" sends_to "$way" "$(address "$id")"; done
    fi
    leave "${old[@]}"
    echo "the edge is version $1; write NIGHTSHELF_VERSION=$1 into deploy/.env"
}

jobs() { "${compose[@]}" run --rm -T jobs "$@"; }

users() {
    local node
    for node in redis-{1..6}; do
        "${compose[@]}" exec -T -e "REDIS_CLI_OPTIONS=-h $node $redis_tls" "$node" /opt/redis/users.sh apply
    done
}

# What is mounted into running containers is the file itself: it is written in place, never replaced.
put() { cat "$1" >"$secrets/$2"; }

keys() {
    local work
    work=$(mktemp -d)
    cp "$secrets/api_keys" "$work/api_keys"
    docker run --rm --user "$(id -u):$(id -g)" --read-only --cap-drop ALL --network none --volume "$work:/keys" --tmpfs /tmp \
        --env NIGHTSHELF_NGINX_API_KEYS_FILE=/keys/api_keys \
        "${PROXY_IMAGE:-nightshelf/proxy}:$NIGHTSHELF_VERSION" python -m deploy.nginx.keys "$@"
    if ! cmp --quiet "$work/api_keys" "$secrets/api_keys"; then put "$work/api_keys" api_keys; fi
    rm -rf "$work"
}

certificate() {
    if [ "$(openssl x509 -in "$1" -noout -pubkey)" != "$(openssl pkey -in "$2" -pubout)" ]; then
        echo "error: the key in $2 is not that of the certificate in $1; nothing was changed" >&2
        exit 1
    fi
    put "$1" edge_certificate
    put "$2" edge_key
}

audit_log() {
    if [ -e "$actions" ]; then cat "$actions"; fi
    # shellcheck disable=SC2016  # for the shell in the container
    shell_jobs 'cd /artifacts/journal 2>/dev/null || exit 0
        for entry in [0-9]*.json; do printf "{\"kind\":\"release\",\"entry\":%s}\n" "$(tr -d "\n" <"$entry")"; done'
    "${compose[@]}" exec -T postgres psql --username airflow --dbname airflow --tuples-only --no-align --command \
        "select json_build_object('kind', 'airflow', 'time', dttm, 'who', owner, 'event', event, 'dag', dag_id, 'run', run_id, 'extra', extra)
         from log where owner is not null and event not like 'cli_%' order by dttm"
    # As far as Docker keeps it: "api_key" is the caller's name, "!" a key that nobody knows.
    if [ -n "$front" ]; then
        "${compose[@]}" logs --no-color --no-log-prefix "$front" 2>/dev/null | sed -n '/"api_key":""/d; s/^{"time":.*"api_key":/{"kind":"api_key",&/; s/,{"time"/,"time"/; /^{"kind"/p'
    fi
    local node
    for node in redis-{1..6}; do
        printf '{"kind":"redis_refused","node":"%s","entries":%s}\n' "$node" "$(redis_admin "$node" --json acl log)"
    done
}

# redis-cli in a node's container as the administrator; the password is on no command line.
redis_admin() {
    local node=$1
    shift
    # shellcheck disable=SC2016  # for the shell in the container
    "${compose[@]}" exec -T "$node" sh -euc \
        'REDISCLI_AUTH=$(head -n 1 /run/secrets/redis_admin_password) exec redis-cli --user admin --no-auth-warning '"-h $node $redis_tls"' "$@"' redis-cli "$@"
}

# One line a verb that changes something: when, who, what, how it ended.
actions=${NIGHTSHELF_ACTIONS:-audit.jsonl}
text() { local all="$*"; all=${all//\\/\\\\}; all=${all//\"/\\\"}; printf '"%s"' "${all//[[:cntrl:]]/ }"; }
note() {
    (
        umask 077
        printf '{"kind":"action","time":"%s","who":%s,"did":%s,"exit_code":%s}\n' "$(date --utc +%FT%TZ)" \
            "$(text "${SUDO_USER:-$(id -un)}@$(uname -n)")" "$(text "$2")" "$1" >>"$actions"
    )
}

shell_jobs() { "${compose[@]}" run --rm -T --no-deps --entrypoint sh jobs -euc "$1"; }

backup() {
    local folder=$1
    (
        umask 077
        mkdir -p "$folder"
        # A database first: it may name a release that is in the artifacts by then, not the other way round.
        "${compose[@]}" exec -T postgres pg_dump --username airflow --clean --if-exists airflow | gzip >"$folder/airflow.sql.gz.new"
        shell_jobs 'tar --create --gzip --directory /artifacts .' >"$folder/artifacts.tar.gz.new"
        mv "$folder/airflow.sql.gz.new" "$folder/airflow.sql.gz"
        mv "$folder/artifacts.tar.gz.new" "$folder/artifacts.tar.gz"
    )
    echo "backup: $folder"
}

restore() {
    local folder=$1
    for file in airflow.sql.gz artifacts.tar.gz; do
        gzip --test "$folder/$file"
    done
    "${compose[@]}" stop airflow-api airflow-scheduler airflow-dag-processor
    gunzip --stdout "$folder/airflow.sql.gz" | "${compose[@]}" exec -T postgres psql --username airflow --dbname airflow --quiet \
        --set ON_ERROR_STOP=1 --single-transaction >/dev/null
    # Whole before anything goes: gzip has read both to their ends above.
    shell_jobs 'find /artifacts -mindepth 1 -delete; tar --extract --gzip --directory /artifacts' <"$folder/artifacts.tar.gz"
    # Redis may know more than an older backup: then this says so and how to go on, and the stack comes up all the same.
    local ended=0
    jobs restore || ended=$?
    "${compose[@]}" up --detach --scale "edge=$edges"
    return "$ended"
}

down() { "${compose[@]}" down --remove-orphans; }

case ${1:-} in
    build | up | scale | roll | jobs | users | keys | certificate | backup | restore | down)
        did=$*
        trap 'note $? "$did"' EXIT
        ;;
esac
case ${1:-} in
    build) NIGHTSHELF_VERSION=${2:-$NIGHTSHELF_VERSION} && build ;;
    up | users | down) "$1" ;;
    scale | roll | backup | restore) "$1" "${2:?$1 needs one argument}" ;;
    certificate) certificate "${2:?certificate needs two files}" "${3:?certificate needs two files}" ;;
    jobs | keys) "$@" ;;
    audit-log) audit_log ;;
    *)
        sed -n 's/^#   //p' "$0" >&2
        exit 2
        ;;
esac
