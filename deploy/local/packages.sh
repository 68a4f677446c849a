#!/usr/bin/env bash
# In: further packages, as in the list below. Out: the programs the tests need, on the PATH. Installs only what is missing, says which Debian
# packages these are, and uses sudo only where it is not root.
set -euo pipefail

# program, file or pattern of files:package
needed=(
    redis-server:redis-server
    redis-benchmark:redis-tools
    nginx:nginx-light
    /usr/lib/nginx/modules/ngx_http_js_module.so:libnginx-mod-http-js
    wrk:wrk
    chromium:chromium
    prometheus:prometheus
    promtool:prometheus
    prometheus-alertmanager:prometheus-alertmanager
    amtool:prometheus-alertmanager
    prometheus-redis-exporter:prometheus-redis-exporter
    prometheus-nginx-exporter:prometheus-nginx-exporter
    prometheus-node-exporter:prometheus-node-exporter
    prometheus-blackbox-exporter:prometheus-blackbox-exporter
    prometheus-postgres-exporter:prometheus-postgres-exporter
    prometheus-process-exporter:prometheus-process-exporter
    collectd:collectd-core
    "/usr/lib/*/libprotobuf-c.so.1:libprotobuf-c1" # collectd's answer to Prometheus needs these two
    "/usr/lib/*/libmicrohttpd.so.12:libmicrohttpd12"
    curl:curl
    openssl:openssl
    spin:spin
    faketime:faketime
    ip:iproute2
    gcc:gcc
    /usr/include/stdio.h:libc6-dev
    "$@"
)

PATH=$PATH:/usr/sbin:/sbin
missing=()
for pair in "${needed[@]}"; do
    command -v "${pair%%:*}" >/dev/null || compgen -G "${pair%%:*}" >/dev/null || missing+=("${pair#*:}")
done
if [ ${#missing[@]} -eq 0 ]; then
    exit 0
fi

echo "installing Debian packages: ${missing[*]}" >&2
if ! command -v apt-get >/dev/null; then
    echo "error: no apt-get here" >&2
    echo "  do: install what provides these Debian packages: ${missing[*]}" >&2
    exit 1
fi
as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
# Debian would start every server it installs; the tests start their own on loopback.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | "${as_root[@]}" tee "$policy" >/dev/null
    "${as_root[@]}" chmod +x "$policy"
    trap '"${as_root[@]}" rm -f "$policy"' EXIT
fi
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
