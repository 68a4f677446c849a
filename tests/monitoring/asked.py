"""What rules and dashboards ask Prometheus for. Airflow's part of it needs a running Airflow."""

from collections.abc import Callable, Mapping
from typing import Any

from monitoring.dashboards.boards import BOARDS
from tests.monitoring import rules

Asked = tuple[str, frozenset[str]]


def is_airflows(text: str) -> bool:
    """Say whether a metric, or a query, is of what Airflow tells by StatsD."""
    return "airflow_" in text


def panels() -> dict[str, str]:
    """Return every query of every panel by board, title and legend."""
    return {
        f"{board.name}: {panel.title}: {legend}": query
        for board in BOARDS
        for row in board.rows.values()
        for panel in row
        for query, legend in panel.queries.items()
    }


def metrics() -> dict[Asked, str]:
    """Return every metric with the labels it is asked for, and where."""
    found = {
        asked: rule.name for rule in rules.rules() for asked in rules.asked_for(rule.expression)
    }
    for name, query in panels().items():
        found |= dict.fromkeys(rules.asked_for(query), name)
    found.pop(("ALERTS", frozenset({"alertstate"})), None)
    return found


def missing(
    wanted: Mapping[Asked, str], series: Callable[[str], list[dict[str, Any]]]
) -> list[str]:
    """Return what is asked for and not emitted; `series` gives a metric's series."""
    found = []
    for (name, labels), place in wanted.items():
        given = series(name)
        if not any(labels <= one["metric"].keys() for one in given):
            found.append(f"{place}: {name} {sorted(labels)} ({len(given)} series)")
    return found
