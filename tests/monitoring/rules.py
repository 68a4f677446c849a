"""The rules as they lie in monitoring/: alerts, recordings, the series that an expression asks for."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MONITORING = ROOT / "monitoring"

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_GROUPING = re.compile(
    r"\b(by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)", re.IGNORECASE
)
_SELECTOR = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\{[^}]*\})?")
_MATCHER = re.compile(r"([a-zA-Z_][a-zA-Z0-9_]*)\s*(?:=~|!~|!=|=)")
_WORDS = frozenset({"and", "or", "unless", "bool", "offset", "inf", "nan"})
_METRIC = re.compile(r"[a-z]+(?:_[a-z0-9]+)+|up")
_FUNCTIONS = frozenset(
    {
        *("histogram_quantile", "avg_over_time", "max_over_time", "min_over_time", "sort_desc"),
        *("label_replace", "count_values", "quantile_over_time", "count_over_time"),
    }
)


@dataclass(frozen=True)
class Rule:
    """An alert (`severity` set) or a recording; `waits` says whether it has a `for`."""

    name: str
    expression: str
    severity: str
    waits: bool
    annotations: dict[str, str]


def rule_files() -> list[Path]:
    """Return the files of rules."""
    return sorted((MONITORING / "rules").glob("*.yaml"))


def test_files() -> list[Path]:
    """Return the files of rules' unit tests."""
    return sorted((MONITORING / "rules" / "tests").glob("*.yaml"))


def load(path: Path) -> Any:
    """Return the content of a YAML file."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def rules() -> list[Rule]:
    """Return every rule of every file."""
    return [
        Rule(
            name=rule.get("alert") or rule["record"],
            expression=rule["expr"],
            severity=rule.get("labels", {}).get("severity", ""),
            waits="for" in rule,
            annotations=rule.get("annotations", {}),
        )
        for path in rule_files()
        for group in load(path)["groups"]
        for rule in group["rules"]
    ]


def alerts() -> list[Rule]:
    """Return the alerts; one of two severities comes twice."""
    found = [rule for rule in rules() if rule.severity]
    assert found, "no rule is an alert"
    return found


def asked_for(expression: str) -> set[tuple[str, frozenset[str]]]:
    """Return the metrics in an expression, each with the labels that its selector or a grouping beside it names.

    Names with a colon are recorded by rules and are left out.
    """
    grouped = {
        label.strip()
        for _, inside in _GROUPING.findall(expression)
        for label in inside.split(",")
        if label.strip()
    }
    found = set()
    bare = _GROUPING.sub(" ", expression)
    for name, labels in _SELECTOR.findall(_within_braces(bare)):
        if (
            ":" in name
            or name.lower() in _WORDS
            or name in _FUNCTIONS
            or not _METRIC.fullmatch(name)
        ):
            continue
        found.add((name, frozenset(_MATCHER.findall(_STRING.sub('""', labels)))))
    metrics = {name for name, _ in found}
    if len(metrics) == 1:
        # With one metric it is clear whose labels a grouping names.
        (only,) = metrics
        found |= {(only, frozenset({label})) for label in grouped - {"le"}}
    return found


def _within_braces(expression: str) -> str:
    """Return the expression with braces inside strings taken out, so that a selector ends at its own brace."""
    return _STRING.sub(lambda match: re.sub(r"[{}]", "", match[0]), expression)
