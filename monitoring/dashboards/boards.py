"""What is on each dashboard.

In: nothing. Out: `BOARDS`. Guarantees that a panel is described by data alone: title, unit, queries; how it looks stands in
build.py. Queries use metrics of the edge, the batch and the exporters, and what monitoring/rules records.
"""

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["stat", "graph", "table"]


@dataclass(frozen=True)
class Panel:
    """One panel: `queries` map PromQL to the legend of its series; `limits` are where a stat turns yellow and red."""

    title: str
    queries: dict[str, str]
    unit: str = "short"
    kind: Kind = "graph"
    text: str = ""
    width: int = 12
    limits: tuple[float, float] | None = None
    decimals: int | None = None


@dataclass(frozen=True)
class Board:
    """A dashboard: rows of panels."""

    name: str
    title: str
    rows: dict[str, tuple[Panel, ...]] = field(default_factory=dict)


def _quantile(quantile: float, metric: str) -> str:
    return f"histogram_quantile({quantile}, sum by (le) (rate({metric}_bucket[5m])))"


_DURATION = "nightshelf_edge_request_duration_seconds"
_LOOKUP = "nightshelf_edge_lookup_duration_seconds"
_DROPPED = 'nightshelf_batch_rows_rejected{role="newest", reason=~"superseded|duplicate_row|delivered_before|user_left_out"}'

OVERVIEW = Board(
    "overview",
    "Nightshelf: overview",
    {
        "The four numbers": (
            Panel(
                "Model age", {"nightshelf:data_age_seconds": "age"}, "s", "stat",
                "Time since the newest rating behind what users get; the oldest of all replicas.",
                6, (30 * 3600, 48 * 3600),
            ),
            Panel(
                "Availability (1 h)", {"1 - nightshelf:availability_errors:ratio_rate1h": "available"},
                "percentunit", "stat", "Objective: 99.95 %.", 6, None, 3,
            ),
            Panel(
                "p99", {"nightshelf:edge_duration_seconds:p99_5m": "p99"}, "s", "stat",
                "Objective: 99 % of the answers under 10 ms.", 6, (0.01, 0.05),
            ),
            Panel(
                "Personal share (1 h)", {"1 - nightshelf:impersonal:ratio_rate1h": "personal"},
                "percentunit", "stat", "Answers to known users from their own list. Objective: 99 %.",
                6, None, 2,
            ),
        ),
        "Now": (
            Panel(
                "Current alerts", {'ALERTS{alertstate="firing"}': ""}, "short", "table",
                "DeadMansSwitch is always there.", 24,
            ),
            Panel(
                "Model age by replica",
                {"time() - (nightshelf_edge_data_as_of_timestamp_seconds > 0)": "{{instance}}"}, "s",
            ),
            Panel(
                "Burn rate (1 = the budget lasts 30 days)",
                {
                    "nightshelf:availability_errors:ratio_rate1h / 0.0005": "availability",
                    "nightshelf:latency_slow:ratio_rate1h / 0.01": "latency",
                    "nightshelf:impersonal:ratio_rate1h / 0.01": "personal",
                },
            ),
        ),
    },
)  # fmt: skip

SERVICE = Board(
    "service",
    "Nightshelf: service",
    {
        "Traffic and errors": (
            Panel("Requests by route", {"sum by (route) (rate(nightshelf_edge_requests_total[5m]))": "{{route}}"}, "reqps"),
            Panel("Requests by status", {"sum by (status) (rate(nightshelf_edge_requests_total[5m]))": "{{status}}"}, "reqps"),
            Panel(
                "Sources of lists",
                {
                    'sum by (source, reason) (rate(nightshelf_edge_requests_total{route="recommendations"}[5m])'
                    " or rate(nightshelf_edge_batch_lists_total[5m]))": "{{source}} {{reason}}"
                },
                "ops", text="Each list of a batch counts as one.",
            ),
            Panel("Server errors", {"nightshelf:availability_errors:ratio_rate5m": "errors"}, "percentunit"),
        ),
        "Latency": (
            Panel(
                "Answers",
                {_quantile(q, _DURATION): f"p{q * 100:g}" for q in (0.5, 0.99, 0.999)}, "s",
            ),
            Panel("Redis", {_quantile(q, _LOOKUP): f"p{q * 100:g}" for q in (0.5, 0.99)}, "s"),
        ),
        "Release": (
            Panel("Served by", {"nightshelf_edge_release_info": ""}, "short", "table"),
            Panel("Versions", {"nightshelf_edge_build_info": ""}, "short", "table"),
            Panel("Pointer age", {"nightshelf_edge_pointer_age_seconds": "{{instance}}"}, "s"),
            Panel("Age of the popularity lists in memory", {"nightshelf_edge_popularity_age_seconds": "{{instance}}"}, "s"),
            Panel("Generation", {"nightshelf_edge_generation": "{{instance}}"}),
            Panel("Refused or failed refreshes", {"rate(nightshelf_edge_pointer_refusals_total[5m])": "{{instance}}"}),
            Panel("Canary share", {"nightshelf_edge_canary_share": "{{instance}}"}, "percentunit"),
            Panel("Answers by arm", {"sum by (arm) (rate(nightshelf_edge_requests_total[5m]))": "{{arm}}"}, "reqps"),
        ),
        "Processes": (
            Panel("CPU", {'rate(process_cpu_seconds_total{job="edge"}[5m])': "{{instance}}"}, "percentunit"),
            Panel("Memory", {'process_resident_memory_bytes{job="edge"}': "{{instance}}"}, "bytes"),
        ),
    },
)  # fmt: skip

BATCH = Board(
    "batch",
    "Nightshelf: batch",
    {
        "Runs": (
            Panel("Since the last success of each step", {"time() - nightshelf_batch_step_last_success_timestamp_seconds": "{{step}}"}, "s"),
            Panel("Since each command last began", {"time() - nightshelf_batch_command_begun_timestamp_seconds": "{{command}} {{dag}}"}, "s"),
            Panel("Duration of steps", {"nightshelf_batch_step_duration_seconds": "{{step}}"}, "s"),
            Panel("Peak memory of steps", {"nightshelf_batch_step_peak_memory_bytes": "{{step}}"}, "bytes"),
            Panel("Last exit codes", {"nightshelf_batch_command_exit_code": ""}, "short", "table"),
            Panel("Ends by exit code", {"sum by (command, exit_code) (nightshelf_batch_commands_total)": "{{command}} {{exit_code}}"}),
        ),
        "Gates": (
            Panel("Newest and live release", {"nightshelf_batch_release_info": ""}, "short", "table"),
            Panel("Verdict on the newest release", {'nightshelf_batch_gate_verdict{role="newest"} == 1': ""}, "short", "table"),
            Panel(
                "Waiting for a person",
                {"(time() - nightshelf_batch_waiting_approval_since_timestamp_seconds) * (nightshelf_batch_waiting_approval_since_timestamp_seconds > bool 0)": "waiting"},
                "s", "stat", "", 8, (4 * 3600, 12 * 3600),
            ),
            Panel("Refusals in the journal", {"nightshelf_batch_refusals": "refusals"}, "short", "stat", "", 8),
            Panel("Barred lists", {"nightshelf_batch_quarantined": "barred"}, "short", "stat", "", 8),
        ),
        "Quality over releases": (
            Panel(
                "NDCG@10 with its interval",
                {
                    f'nightshelf_batch_{name}{{role="newest", model=~"als|ease|two_stage", metric="ndcg_at_10"}}': legend
                    for name, legend in (("quality", "{{model}}"), ("quality_low", "low"), ("quality_high", "high"))
                },
            ),
            Panel(
                "NDCG@10 beside the baselines",
                {'nightshelf_batch_quality{role="newest", metric="ndcg_at_10"}': "{{model}}"},
            ),
            Panel("Recall@20", {'nightshelf_batch_quality{role="newest", metric="recall_at_20"}': "{{model}}"}),
            Panel("Coverage@10", {'nightshelf_batch_quality{role="newest", metric="coverage_at_10"}': "{{model}}"}, "percentunit"),
            Panel("Live release: NDCG@10", {'nightshelf_batch_quality{role="live", model=~"als|ease|two_stage", metric="ndcg_at_10"}': "{{model}}"}),
            Panel("Releases on disk", {"nightshelf_batch_releases": "releases"}),
        ),
        "Airflow": (
            Panel(
                "Heartbeats a minute",
                {
                    "rate(airflow_scheduler_heartbeat_total[5m]) * 60": "scheduler",
                    "rate(airflow_dag_processor_heartbeat_total[5m]) * 60": "DAG processor",
                },
            ),
            Panel("Tasks by end within the hour", {"sum by (dag, state) (increase(airflow_tasks_finished_total[1h]))": "{{dag}} {{state}}"}),
            Panel(
                "Slots of pools",
                {
                    "airflow_pool_running_slots": "{{pool}} running",
                    "airflow_pool_queued_slots": "{{pool}} queued",
                    "airflow_pool_open_slots": "{{pool}} open",
                },
            ),
            Panel("DAGs, and files that cannot be imported", {"airflow_dags": "DAGs", "airflow_import_errors": "errors"}),
        ),
    },
)  # fmt: skip

DATA = Board(
    "data",
    "Nightshelf: data",
    {
        "Rows": (
            Panel(
                "Rows of the newest release",
                {
                    'nightshelf_batch_rows_in{role="newest"}': "in",
                    'nightshelf_batch_rows_accepted{role="newest"}': "accepted",
                },
            ),
            Panel("Bad rows", {"nightshelf:rejects:ratio": "share"}, "percentunit", text="At 5 % extract refuses the day."),
            Panel("Dropped rows by reason", {'nightshelf_batch_rows_rejected{role="newest"}': "{{reason}}", f"sum({_DROPPED}) or vector(0)": "repeats"}),
            Panel("Rows by step", {"nightshelf_batch_step_rows_in": "{{step}}"}),
        ),
        "Drift": (
            Panel("Positive ratings", {"nightshelf_batch_positive_share_ratio": "{{role}}"}, "percentunit"),
            Panel("Stars", {'nightshelf_batch_ratings{role="newest"} / on (role) group_left () sum by (role) (nightshelf_batch_ratings)': "{{stars}}"}, "percentunit"),
            Panel("Users", {"nightshelf_batch_users": "{{role}}"}),
            Panel("Books", {"nightshelf_batch_books": "{{role}}"}),
        ),
        "Checks and age": (
            Panel("Checks of the newest release", {'nightshelf_batch_check_status{role="newest"} == 1': ""}, "short", "table"),
            Panel("Age of the newest row", {"time() - nightshelf_batch_data_as_of_timestamp_seconds": "{{role}}"}, "s"),
            Panel("Age of the model", {"time() - nightshelf_batch_trained_timestamp_seconds": "{{role}}"}, "s"),
        ),
    },
)  # fmt: skip

STORE = Board(
    "store",
    "Nightshelf: store",
    {
        "Shards": (
            Panel("Covered slots as each node sees them", {"redis_cluster_slots_ok": "{{instance}}"}),
            Panel("Nodes", {"redis_up": "{{instance}}"}),
            Panel("Epoch", {"redis_cluster_current_epoch": "{{instance}}"}, text="It moves with each failover."),
            Panel("Lag of Redis replicas", {"redis_connected_slave_lag_seconds": "{{slave_ip}}:{{slave_port}}"}, "s"),
        ),
        "Memory": (
            Panel("Used", {"redis_memory_used_bytes": "{{instance}}"}, "bytes"),
            Panel("Share of maxmemory", {"redis_memory_used_bytes / (redis_memory_max_bytes > 0)": "{{instance}}"}, "percentunit"),
            Panel("Evictions", {"increase(redis_evicted_keys_total[5m])": "{{instance}}"}),
            Panel("Keys", {"redis_db_keys": "{{instance}}"}),
        ),
        "Work": (
            Panel("Commands", {"rate(redis_commands_processed_total[5m])": "{{instance}}"}, "ops"),
            Panel(
                "Look-ups that found nothing",
                {"rate(redis_keyspace_misses_total[5m])": "{{instance}}"}, "ops",
            ),
            Panel("Connections", {"redis_connected_clients": "{{instance}}"}),
            Panel("Sent", {"rate(redis_net_output_bytes_total[5m])": "{{instance}}"}, "Bps"),
        ),
    },
)  # fmt: skip

INFRASTRUCTURE = Board(
    "infrastructure",
    "Nightshelf: infrastructure",
    {
        "Hosts": (
            Panel("CPU", {'1 - avg by (instance) (rate(node_cpu_seconds_total{mode="idle"}[5m]))': "{{instance}}"}, "percentunit"),
            Panel("Memory", {"1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes": "{{instance}}"}, "percentunit"),
            Panel("Disks", {'1 - node_filesystem_avail_bytes{fstype!~"tmpfs|overlay|squashfs"} / node_filesystem_size_bytes': "{{instance}} {{mountpoint}}"}, "percentunit"),
            Panel("Network received", {'sum by (instance) (rate(node_network_receive_bytes_total{device!="lo"}[5m]))': "{{instance}}"}, "Bps"),
        ),
        "Containers and programs": (
            Panel("CPU of programs", {"sum by (program, container) (rate(namedprocess_namegroup_cpu_seconds_total[5m]))": "{{program}} {{container}}"}, "percentunit", text="1 is one processor."),
            Panel("Memory of programs", {'sum by (program, container) (namedprocess_namegroup_memory_bytes{memtype="resident"})': "{{program}} {{container}}"}, "bytes"),
            Panel("Processes", {"sum by (program, container) (namedprocess_namegroup_num_procs)": "{{program}} {{container}}"}),
            Panel("Running since", {"time() - min by (program, container) (namedprocess_namegroup_oldest_start_time_seconds)": "{{program}} {{container}}"}, "s"),
        ),
        "NGINX": (
            Panel("Requests", {"rate(nginx_http_requests_total[5m])": "{{instance}}"}, "reqps"),
            Panel(
                "Answers of its own", {"sum by (status, upstream) (rate(nightshelf_nginx_answers_total[5m]))": "{{status}} {{upstream}}"},
                "reqps", text="No replica counts these. 502, 504: how the last replica that was asked failed.",
            ),
            Panel("Connections", {"nginx_connections_active": "active", "nginx_connections_waiting": "waiting"}),
        ),
        "Outside and targets": (
            Panel("Targets", {"up": "{{job}} {{instance}}"}),
            Panel("Probes", {"probe_success": "{{job}} {{instance}}"}),
            Panel("Certificates end in", {"probe_ssl_earliest_cert_expiry - time()": "{{instance}}"}, "s"),
            Panel("Postgres", {"pg_up": "{{instance}}"}),
            Panel("Duration of scrapes", {"max by (job) (scrape_duration_seconds)": "{{job}}"}, "s"),
            Panel("Series in Prometheus", {"prometheus_tsdb_head_series": "series"}),
        ),
    },
)  # fmt: skip

ALERTS = Board(
    "alerts",
    "Nightshelf: current alerts",
    {
        "How many": (
            Panel("Critical", {'count(ALERTS{alertstate="firing", severity="critical"}) or vector(0)': "critical"}, "short", "stat", "", 8, (1, 1)),
            Panel("Warnings", {'count(ALERTS{alertstate="firing", severity="warning"}) or vector(0)': "warnings"}, "short", "stat", "", 8, (1, 5)),
            Panel("Pending", {'count(ALERTS{alertstate="pending"}) or vector(0)': "pending"}, "short", "stat", "These fire if what is wrong goes on.", 8),
        ),
        "Which": (
            Panel("Firing and pending", {"ALERTS": ""}, "short", "table", "DeadMansSwitch is always there.", 24),
            Panel("Firing over time", {'count by (alertname, severity) (ALERTS{alertstate="firing"})': "{{alertname}} {{severity}}"}),
            Panel("Active since", {"time() - ALERTS_FOR_STATE": "{{alertname}} {{severity}} {{instance}}"}, "s"),
        ),
        "Told": (
            Panel("Messages sent", {"sum by (integration) (rate(alertmanager_notifications_total[5m]))": "{{integration}}"}, "ops"),
            Panel("Messages that failed", {"sum by (integration) (rate(alertmanager_notifications_failed_total[5m]))": "{{integration}}"}, "ops"),
        ),
    },
)  # fmt: skip

BOARDS = (OVERVIEW, SERVICE, BATCH, DATA, STORE, INFRASTRUCTURE, ALERTS)
