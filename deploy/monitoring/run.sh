#!/bin/sh
# Starts one part of the monitoring of the stack: run.sh prometheus|alertmanager|redis|nginx|node|blackbox|processes|postgres|statsd.
# In: monitoring/ and deploy/monitoring/ as they are in the image, passwords as files, NIGHTSHELF_REDIS_TLS. Out: that part in place of
# this shell. What is asked and judged is what stands in monitoring/; only the addresses are the stack's.
set -eu
all=${MONITORING:-/opt/monitoring}
run=${MONITORING_RUN:-/run/monitoring}
data=${MONITORING_DATA:-/data}
told=${MONITORING_ALERTMANAGER:-/etc/alertmanager}
secrets=${MONITORING_SECRETS:-/run/secrets}

# Targets of the stack; the replicas of the edge, however many there are, by the name they share.
prometheus_files() {
    cp -r "$all/rules" "$all/stack/targets" "$run/"
    if [ "${NIGHTSHELF_REDIS_TLS:-false}" = true ]; then
        sed -i 's|"\(redis-[0-9]\)|"rediss://\1|g' "$run/targets/redis.yaml"
    fi
    sed '/file_sd_configs:/{
        N
        s|file_sd_configs:\n *- files: \[targets/edge.yaml\]|dns_sd_configs:\n      - {names: [edge], type: A, port: 8081, refresh_interval: 5s}|
    }' "$all/prometheus.yaml" >"$run/prometheus.yaml"
}

# Without somebody to tell: routes, groups and inhibitions of monitoring/alertmanager.yaml, and receivers that are names.
alertmanager_files() {
    if [ -e "$told/alertmanager.yaml" ]; then
        cp -r "$told/." "$run/"
        return
    fi
    awk '
        /^(global|templates):/ { skip = 1; next }
        /^[a-z#]/ { skip = 0 }
        /^receivers:/ { named = 1; print; next }
        named && !/^  - name:/ { next }
        !skip' "$all/alertmanager.yaml" >"$run/alertmanager.yaml"
}

case ${1:-} in
    files)
        prometheus_files
        alertmanager_files
        ;;
    prometheus)
        prometheus_files
        exec prometheus "--config.file=$run/prometheus.yaml" "--storage.tsdb.path=$data" \
            "--storage.tsdb.retention.time=${NIGHTSHELF_METRICS_KEPT:-30d}" --web.listen-address=0.0.0.0:9090
        ;;
    alertmanager)
        alertmanager_files
        exec prometheus-alertmanager "--config.file=$run/alertmanager.yaml" "--storage.path=$data" \
            --web.listen-address=0.0.0.0:9093 --cluster.listen-address=
        ;;
    redis)
        REDIS_PASSWORD=$(head -n 1 "$secrets/redis_monitor_password")
        export REDIS_PASSWORD REDIS_USER=monitor REDIS_ADDR=
        exec prometheus-redis-exporter -tls-ca-cert-file "$secrets/redis_ca"
        ;;
    nginx) exec prometheus-nginx-exporter -nginx.scrape-uri http://nginx:8082/nginx-status -nginx.retries 60 ;;
    node) exec prometheus-node-exporter --path.procfs=/host/proc --path.sysfs=/host/sys --path.rootfs=/host/root ;;
    blackbox) exec prometheus-blackbox-exporter "--config.file=$all/blackbox.yaml" ;;
    processes)
        # Reading each page of each process for its share of memory costs seconds.
        exec prometheus-process-exporter -procfs /host/proc -threads=false -gather-smaps=false -recheck \
            -config.path "$all/processes.yaml"
        ;;
    postgres)
        export DATA_SOURCE_URI="postgres:5432/airflow?sslmode=disable" DATA_SOURCE_USER=airflow \
            DATA_SOURCE_PASS_FILE="$secrets/postgres_password"
        exec prometheus-postgres-exporter
        ;;
    statsd)
        sed 's/Host "127.0.0.1"/Host "0.0.0.0"/' "$all/collectd.conf" >"$run/collectd.conf"
        exec collectd -f -C "$run/collectd.conf"
        ;;
    *)
        sed -n 's/^# Starts //p' "$0" >&2
        exit 2
        ;;
esac
