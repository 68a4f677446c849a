"""The project's monitoring configuration with time shrunk and every receiver at one address.

Scrapes and evaluations come every few seconds, and what an alert waits for (`for`) is shortened; thresholds and windows
stay as they are. No alert fires for one scrape that a busy machine cuts off, and what waits longer still does.
"""

import re
from collections.abc import Callable
from pathlib import Path

import yaml

from tests.monitoring.rules import MONITORING

_SCRAPE_S = 3
_EVALUATION_S = 2
#: What an alert's `for` is divided by, and what is added. A failover takes seconds whatever the test: its alerts must
#: keep their distance.
_DIVISORS = {"store.yaml": 3}
_DIVISOR = 20
_AT_LEAST_S = 5
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def prometheus() -> str:
    """Return Prometheus's configuration with short intervals."""
    text = (MONITORING / "prometheus.yaml").read_text("utf-8")
    text = re.sub(r"(scrape_interval|scrape_timeout): \d+s", rf"\1: {_SCRAPE_S}s", text)
    return re.sub(r"evaluation_interval: \d+s", f"evaluation_interval: {_EVALUATION_S}s", text)


def rules(path: Path) -> str:
    """Return a file of rules that are evaluated often and wait shorter."""
    divisor = _DIVISORS.get(path.name, _DIVISOR)

    def shorter(match: re.Match[str]) -> str:
        seconds = int(match[1]) * _SECONDS[match[2]]
        return f"for: {_AT_LEAST_S + seconds // divisor}s"

    text = re.sub(r"\bfor: (\d+)([smh])\b", shorter, path.read_text("utf-8"))
    return re.sub(
        r"^(\s+)interval: \d+s", rf"\1interval: {_EVALUATION_S}s", text, flags=re.MULTILINE
    )


def alertmanager(token: Path, url: Callable[[str], str]) -> str:
    """Return the project's routes and inhibitions; `url` gives where the receiver of a name is, `token` its key."""
    content = yaml.safe_load((MONITORING / "alertmanager.yaml").read_text("utf-8"))
    content["global"] = {}
    content["templates"] = []
    for route in (content["route"], *content["route"]["routes"]):
        route.update(group_wait="0s", group_interval="1s")
    for receiver in content["receivers"]:
        name = receiver["name"]
        receiver.clear()
        receiver["name"] = name
        if name == "dead-mans-switch":
            continue
        client = {"authorization": {"credentials_file": str(token)}}
        receiver["webhook_configs"] = [{"url": url(name), "http_config": client}]
    return str(yaml.safe_dump(content))
