"""What the rules say of series that a real process gave: `promtool test rules` on two scrapes of it.

In: two expositions, and which alerts fire. Out: a failed assertion where one does not, or another does. Each series
goes on for an hour with one step a minute, as large as it was between the scrapes.
"""

import subprocess
from collections.abc import Mapping
from pathlib import Path

import yaml
from prometheus_client.parser import text_string_to_metric_families

from tests.monitoring.rules import rule_files

_MINUTES = 60
_COUNTS = ("_total", "_bucket", "_count")


def check(folder: Path, before: str, after: str, fires: Mapping[tuple[str, str], bool]) -> None:
    """Assert which alerts (name, severity) fire after half an hour, and which do not."""
    start = _counts(before)
    series = [
        {"series": name, "values": f"{start.get(name, 0)}+{end - start.get(name, 0)}x{_MINUTES}"}
        for name, end in _counts(after).items()
    ]
    checks = [
        {
            "expr": "count by (alertname, severity) "
            f'(ALERTS{{alertname="{name}", severity="{severity}", alertstate="firing"}})',
            "eval_time": "30m",
            "exp_samples": [
                {"labels": f'{{alertname="{name}", severity="{severity}"}}', "value": 1}
            ][: int(firing)],
        }
        for (name, severity), firing in fires.items()
    ]
    content = {
        "rule_files": [str(path) for path in rule_files()],
        "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": series, "promql_expr_test": checks}],
    }
    file = folder / "alerts.yaml"
    file.write_text(yaml.safe_dump(content), encoding="utf-8")
    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def _counts(text: str) -> dict[str, float]:
    return {
        f"{sample.name}{{{_labels(sample.labels)}}}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name.endswith(_COUNTS)
    }


def _labels(labels: Mapping[str, str]) -> str:
    return ",".join(f'{name}="{value}"' for name, value in labels.items())
