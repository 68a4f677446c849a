"""The rules by themselves: Prometheus's own checks and unit tests, and that nothing lacks its counterpart."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.monitoring import rules
from tests.monitoring.rules import MONITORING


def _run(*command: str | Path) -> str:
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True, check=False, cwd=MONITORING
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_prometheus_takes_the_configuration_and_every_rule() -> None:
    """`promtool check config` reads the configuration, the targets and the rules it names."""
    shown = _run("promtool", "check", "config", "prometheus.yaml")
    assert shown.count("rules found") == len(rules.rule_files())


@pytest.mark.parametrize("path", rules.test_files(), ids=lambda path: path.stem)
def test_alerts_fire_when_they_should(path: Path) -> None:
    """`promtool test rules`: after their time, not before it, and not when they should not."""
    _run("promtool", "test", "rules", path)


_ASKED = re.compile(r'alertname=\\?"(\w+)\\?", severity=\\?"(\w+)\\?"')
Alert = tuple[str, str]


def _checks() -> dict[Alert, list[set[bool]]]:
    """Return which answers (fires, does not) each unit test of an alert and severity expects."""
    found: dict[Alert, list[set[bool]]] = {}
    for path in rules.test_files():
        for test in rules.load(path)["tests"]:
            here: dict[Alert, set[bool]] = {}
            for check in test["promql_expr_test"]:
                match = _ASKED.search(check["expr"])
                assert match, check
                here.setdefault((match[1], match[2]), set()).add(bool(check["exp_samples"]))
            for alert, answers in here.items():
                found.setdefault(alert, []).append(answers)
    return found


def test_each_alert_is_tested_both_ways() -> None:
    """Every alert of every severity has a test in which it fires and one in which it never does."""
    checks = _checks()
    for alert in rules.alerts():
        tests = checks.pop((alert.name, alert.severity))
        assert any(True in answers for answers in tests), alert.name
        # What is always on has no other side.
        assert {False} in tests or alert.name == "DeadMansSwitch", alert.name
    assert not checks


def _seen_to_be_wrong(folder: Path, wait: str) -> set[Alert]:
    """Return the alerts whose unit tests fail once every alert waits for another time."""
    (folder / "tests").mkdir()
    for path in rules.rule_files():
        text = re.sub(r"\bfor: \d+[smh]\b", f"for: {wait}", path.read_text("utf-8"))
        (folder / path.name).write_text(text, encoding="utf-8")
    found: set[Alert] = set()
    for path in rules.test_files():
        copy = folder / "tests" / path.name
        copy.write_text(path.read_text("utf-8"), encoding="utf-8")
        done = subprocess.run(
            ["promtool", "test", "rules", str(copy)], capture_output=True, text=True, check=False
        )
        found.update(_ASKED.findall(done.stdout + done.stderr))
    return found


@pytest.mark.slow
@pytest.mark.parametrize("wait", ["0s", "90m"], ids=["at once", "too late"])
def test_an_alert_that_waits_for_another_time_fails_its_tests(tmp_path: Path, wait: str) -> None:
    """With every `for` taken away, or made too long, the unit tests of each alert that has one say so."""
    waiting = {(alert.name, alert.severity) for alert in rules.alerts() if alert.waits}
    assert len(waiting) > 40  # most alerts wait
    assert waiting - _seen_to_be_wrong(tmp_path, wait) == set()


def test_each_alert_says_what_and_where_to_read_on() -> None:
    """Summary, a description with the value, a section of the runbook and a dashboard that exist."""
    for alert in rules.alerts():
        assert alert.severity in {"critical", "warning", "none"}
        assert alert.annotations["summary"], alert.name
        assert "$value" in alert.annotations["description"], alert.name
        page, _, anchor = alert.annotations["runbook_url"].partition("#")
        assert (page, anchor) == ("monitoring/runbook.md", alert.name.lower())
        board = alert.annotations["dashboard_url"].removeprefix("/d/nightshelf-")
        assert (MONITORING / "dashboards" / f"{board}.json").is_file(), alert.name


def test_the_runbook_has_a_section_an_alert_and_no_other() -> None:
    """Both ways; and each section says what it means, how to see it, what to do, how to know it is over."""
    text = (MONITORING / "runbook.md").read_text(encoding="utf-8")
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL))
    # Airflow sends this one itself: dags/nightshelf_airflow/deadline.py.
    assert sections.keys() == {*(alert.name for alert in rules.alerts()), "ReleaseLate"}
    for name, body in sections.items():
        for part in ("Means", "See", "Do", "Over"):
            assert f"**{part}.**" in body, (name, part)


def test_alertmanager_takes_its_configuration() -> None:
    """`amtool check-config` reads it and its templates; no secret stands in it."""
    _run("amtool", "check-config", "alertmanager.yaml")
    text = (MONITORING / "alertmanager.yaml").read_text(encoding="utf-8")
    for secret in re.findall(
        r"^\s*(?:auth_password|credentials|slack_api_url|api_url):.*", text, re.MULTILINE
    ):
        raise AssertionError(f"{secret} is not from a file")


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ("alertname=ModelStale severity=critical", "on-call"),
        ("alertname=ModelStale severity=warning", "team"),
        ("alertname=DeadMansSwitch severity=none", "dead-mans-switch"),
    ],
)
def test_alerts_go_to_who_has_to_know(labels: str, receiver: str) -> None:
    """Critical ones wake somebody, warnings do not, the dead man's switch goes outside."""
    shown = _run(
        "amtool", "config", "routes", "test", "--config.file=alertmanager.yaml", *labels.split()
    )
    assert shown.split()[0] == receiver


def test_inhibitions_name_alerts_that_exist() -> None:
    """A pattern in an inhibition matches at least one alert by each of its alternatives."""
    names = {alert.name for alert in rules.alerts()}
    matched = 0
    for rule in rules.load(MONITORING / "alertmanager.yaml")["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            match = re.match(r'alertname=~?"(.+)"$', matcher.split(",")[0])
            if match:
                for part in re.split(r"\|(?![^(]*\))", match[1]):
                    assert any(re.fullmatch(part, name) for name in names), part
                    matched += 1
    assert matched


def test_metrics_and_labels_are_found_in_expressions() -> None:
    """Functions, keywords, recorded names, strings and numbers are none; labels are those of the selector."""
    found = rules.asked_for(
        'sum by (route) (rate(a_total{route="x{y}", status=~"5.."}[5m])) > bool 5 or vector(0)'
    )
    assert found == {("a_total", frozenset({"route", "status"})), ("a_total", frozenset({"route"}))}
    assert rules.asked_for("nightshelf:x:rate5m / on (job) up == 0 and absent(b_c)") == {
        ("up", frozenset()),
        ("b_c", frozenset()),
    }
