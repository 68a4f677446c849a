"""What the runbook says of engagement: clicks are joined with NGINX's log, and two releases are compared."""

import json
import re
import subprocess
import sys
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.monitoring.asking import get, until
from tests.monitoring.deployment import Deployment
from tests.monitoring.rules import MONITORING

# Slow: it would need a deployment of its own beside the one of test_deployment.py where files run two at a time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: One replica of two workers, one of one: each follows the pointer by itself.
_WORKERS = 3


def _asked(deployment: Deployment, user: int) -> tuple[str, str, str]:
    """Return request id, release and the cache's part of an answer that NGINX gave."""
    url = deployment.url("nginx", f"/v1/users/{user}/recommendations")
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310  # loopback
        names = ("X-Request-Id", "X-Release", "X-Cache")
        return tuple(answer.headers.get(name, "") for name in names)


def _live(deployment: Deployment, variant: int) -> str:
    """Let a release go live and wait until every worker of both edge replicas serves it."""
    release = deployment.go_live(datetime.now(UTC) - timedelta(hours=1), variant)

    def is_served() -> bool:
        told = "".join(
            get(deployment.url(name, "/metrics")).decode() for name in ("edge-a", "edge-b")
        )
        lines = re.findall(r'^nightshelf_edge_release_info\{.*arm="live".*', told, re.MULTILINE)
        return len(lines) == _WORKERS and all(release in line for line in lines)

    until(is_served, "every worker serves it")
    return release


def test_the_runbooks_recipe_counts_clicks_by_release_and_user(
    deployment: Deployment, tmp_path: Path
) -> None:
    """Its code is run on the log of a real NGINX: answers from the cache have ids of their own, too."""
    clicks: list[str] = []
    stable = _live(deployment, 5)
    for user, clicked in ((1, 2), (2, 1), (3, 0), (4, 0)):
        request, release, _ = _asked(deployment, user)
        assert release == stable
        clicks += [request] * clicked
    canary = _live(deployment, 6)
    from_cache = 0
    for user in (5, 6, 7, 8):
        first, second = _asked(deployment, user), _asked(deployment, user)
        assert first[0] != second[0]
        assert {first[1], second[1]} == {canary}
        from_cache += second[2] == "HIT"
        clicks += [second[0]] * (user == 7)
    assert from_cache
    (tmp_path / "clicks.ndjson").write_text(
        "".join(json.dumps({"request_id": one, "book_id": 7}) + "\n" for one in clicks)
    )
    log = deployment.folder / "nginx" / "logs" / "access.log"
    until(lambda: log.read_text().count("/recommendations") >= 12, "NGINX writes its log")
    (tmp_path / "access.log").write_text(log.read_text())

    text = (MONITORING / "runbook.md").read_text("utf-8")
    recipe = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    told = (
        "import json\n"
        'by = joined.group_by("release").agg(answers=pl.len(), clicks=pl.sum("clicks"))\n'
        f'found = [float(one) for one in compare(joined, "{stable}", "{canary}")]\n'
        'print(json.dumps({"by": by.rows(), "compared": found}))\n'
    )
    done = subprocess.run(
        [sys.executable, "-c", recipe + told],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert {tuple(row) for row in found["by"]} == {(stable, 4, 3), (canary, 8, 1)}
    # Users' means: 2, 1, 0, 0 and 0, 0, 1/2, 0.
    difference, low, high = found["compared"]
    assert difference == 0.125 - 0.75
    assert low < difference < high
