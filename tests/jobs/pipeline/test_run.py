"""The whole chain for one day by one command, on made-up ratings and a real cluster."""

import re
from pathlib import Path

import pytest

from jobs.model import settings as model_settings
from schemas.environment import Node, node_list
from tests.harness.command_line import run


@pytest.mark.filterwarnings("ignore:overflow encountered")  # what the broken settings are for
def test_a_stopped_day_has_its_pages_and_leaves_the_live_release(
    redis_nodes: tuple[Node, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The first day goes live; a second whose model is broken ends with 3, its pages written, the first still live."""
    artifacts, books, toml = tmp_path / "artifacts", tmp_path / "books", tmp_path / "model.toml"
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(artifacts))
    monkeypatch.setenv("NIGHTSHELF_REDIS", node_list(redis_nodes))
    monkeypatch.setenv("NIGHTSHELF_MODEL_SETTINGS", str(toml))
    sound = model_settings.DEFAULTS.read_text("utf-8")
    for name, value in {"factors": 8, "iterations": 2}.items():
        sound = re.sub(rf"(?m)^{name} = \d+", f"{name} = {value}", sound)
    toml.write_text(sound, "utf-8")
    size = ("--users", "300", "--books", "300", "--ratings", "9000", "--seed", "1")
    run(capsys, "synthesize", "--out", books, *size)
    run(capsys, "replay", "--source", books, "--from", "2026-02-01", "--to", "2026-02-02")
    first = run(capsys, "run", "--partition", "2026-02-01").outcome
    pages = artifacts / "releases" / first["release"]
    assert 'href="model.html"' in (pages / "report.html").read_text("utf-8")
    assert "The books that are shown most" in (pages / "model.html").read_text("utf-8")

    # Scores beyond what a float holds: lists come out short, which no model may have.
    broken = re.sub(r"(?m)^popularity_exponent = \S+", "popularity_exponent = -20.0", sound)
    toml.write_text(broken, "utf-8")
    second = run(capsys, "run", "--partition", "2026-02-02")
    assert second.exit_code == 3
    assert second.outcome["error"].startswith("the verdict is stop: ")
    stopped = Path(second.outcome["where"]).with_name("model.html").read_text("utf-8")
    assert "must not go live" in stopped
    index = (artifacts / "releases" / "index.html").read_text("utf-8")
    assert f'href="{Path(second.outcome["where"]).parent.name}/model.html"' in index
    assert run(capsys, "releases").outcome["live"] == first["release"]
