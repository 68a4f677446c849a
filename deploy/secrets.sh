#!/usr/bin/env bash
# The secrets of the stack: one file each, in the folder named in NIGHTSHELF_SECRETS (deploy/secrets).
# In: `make` (those that are missing are made up, 256 random bits each), `check` (refuse the empty, the short, examples, twins),
# `add NAME` (make up a new one beside the old), `swap NAME` (use the new one), `drop NAME` (the old one is valid no longer).
# Out: files that only this folder's owner reaches; in a container each is mounted alone, for the one who needs it.
set -euo pipefail
cd "$(dirname "$0")"
folder=${NIGHTSHELF_SECRETS:-secrets}
names=(redis_{edge,loader,monitor,replica,admin}_password postgres_password airflow_secret airflow_password grafana_password)
least=24

random() { head -c 32 /dev/urandom | base64 | tr '+/' '-_' | tr -d '=\n'; }

# In place: what is mounted into a running container is this very file.
put() { (umask 077 && cat >"$folder/.new" && cat "$folder/.new" >"$folder/$1" && rm "$folder/.new" && chmod 644 "$folder/$1"); }

make() {
    mkdir -p "$folder"
    # Containers run as other users: files are readable, the folder around them is not.
    chmod 700 "$folder"
    local name
    for name in "${names[@]}"; do
        [ -s "$folder/$name" ] || { random && echo; } | put "$name"
    done
    [ -e "$folder/api_keys" ] || put api_keys </dev/null
}

check() {
    local name value wrong=0
    declare -A seen=()
    for name in "${names[@]}"; do
        value=
        if [ -f "$folder/$name" ]; then value=$(head -n 1 "$folder/$name"); fi
        if [ ${#value} -lt $least ] || [[ ${value,,} =~ change|example|secret|password ]]; then
            echo "error: $folder/$name is empty, shorter than $least characters, or an example" >&2
            wrong=1
        elif [ -n "${seen[$value]:-}" ]; then
            echo "error: $folder/$name is the same as ${seen[$value]}" >&2
            wrong=1
        else
            seen[$value]=$name
        fi
    done
    if [ $wrong -ne 0 ]; then
        echo "  do: deploy/secrets.sh make" >&2
        exit 1
    fi
}

lines() { grep -c . "$folder/$1"; }

# What `put` reads has to be read before it writes.
add() { if [ "$(lines "$1")" -eq 1 ]; then { cat "$folder/$1" && random && echo; } | put "$1"; fi; }
swap() { { sed -n 2p "$folder/$1" && sed -n 1p "$folder/$1"; } | put "$1"; }
drop() { head -n 1 "$folder/$1" | put "$1"; }

case ${1:-} in
    make | check) "$1" ;;
    add | swap | drop)
        [ -s "$folder/${2:?a name is needed}" ] || { echo "error: no secret $folder/$2" >&2; exit 1; }
        "$1" "$2"
        ;;
    *)
        echo "usage: deploy/secrets.sh make | check | add NAME | swap NAME | drop NAME" >&2
        exit 2
        ;;
esac
