#!/usr/bin/env bash
# Certificates for trying it out, and those of Redis.
# In: a folder, names. Out: with `edge FOLDER NAME` a self-signed pair for NGINX (edge_certificate, edge_key); with `redis FOLDER NAME...` an
# authority of its own (redis_ca) and one pair for all nodes (redis_certificate, redis_key). Files that are there are kept: delete
# them to have new ones. In front of people use a pair that their browsers trust, under the same names.
set -euo pipefail
umask 077
days=${CERTIFICATE_DAYS:-365}

names() { # subjectAltName of names and addresses
    local parts=() name
    for name in "$@"; do
        if [[ $name =~ ^[0-9.]+$ ]]; then parts+=("IP:$name"); else parts+=("DNS:$name"); fi
    done
    (IFS=,; echo "${parts[*]}")
}

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1"; }

edge() {
    local folder=$1
    shift
    if [ -s "$folder/edge_certificate" ]; then return; fi
    key "$folder/edge_key"
    openssl req -x509 -new -key "$folder/edge_key" -sha256 -days "$days" -subj "/CN=$1" \
        -addext "subjectAltName=$(names "$@")" -out "$folder/edge_certificate"
    chmod 644 "$folder/edge_key" "$folder/edge_certificate"
}

redis() {
    local folder=$1
    shift
    if [ -s "$folder/redis_certificate" ]; then return; fi
    local work
    work=$(mktemp -d)
    trap 'rm -rf "$work"' RETURN
    key "$work/ca_key"
    openssl req -x509 -new -key "$work/ca_key" -sha256 -days 3650 -subj "/CN=Nightshelf Redis authority" \
        -addext "keyUsage=critical,keyCertSign,cRLSign" -out "$folder/redis_ca"
    key "$folder/redis_key"
    openssl req -new -key "$folder/redis_key" -sha256 -subj "/CN=$1" -out "$work/request"
    openssl x509 -req -in "$work/request" -CA "$folder/redis_ca" -CAkey "$work/ca_key" -CAcreateserial \
        -CAserial "$work/serial" -days "$days" -sha256 -out "$folder/redis_certificate" \
        -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "$(names "$@")") 2>/dev/null
    # The authority's key is not kept: new certificates come with a new authority.
    chmod 644 "$folder"/redis_{ca,key,certificate}
}

if [ $# -lt 3 ] || ! [[ $1 =~ ^(edge|redis)$ ]]; then
    echo "usage: deploy/certificates.sh edge|redis FOLDER NAME..." >&2
    exit 2
fi
mkdir -p "$2"
"$@"
