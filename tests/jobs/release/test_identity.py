"""What a release is made by: what its id holds, and who may go on with it."""

import json
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import pytest

from jobs.ingest import settings as row_settings
from jobs.ingest.settings import RowSettings
from jobs.model import settings as model_settings
from jobs.model.settings import as_mapping
from jobs.release import identity
from jobs.release.identity import InputFile, release_id
from tests.harness.command_line import run
from tests.harness.releases import write_release

INPUTS = (InputFile("ratings/ds=2026-01-01/part-0.parquet", 3, "ab"),)
MODEL = model_settings.load(None)


@dataclass(frozen=True)
class OfTwo(RowSettings):
    """Two settings of rows, as a later version may have them."""

    timezone: str = "UTC"
    skew_s: int = 60


def _files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _id(rows: RowSettings = RowSettings()) -> str:  # noqa: B008  # frozen
    return release_id("2026-01-01", INPUTS, as_mapping(MODEL), row_settings.as_mapping(rows))


def test_what_is_in_an_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """The number, each library, model settings and inputs change it; the version of the package does not."""
    found = {_id()}
    with monkeypatch.context() as patch:
        patch.setattr(identity, "LISTS_VERSION", 1000)
        found.add(_id())
    for library in ("implicit", "numpy", "scipy", "polars", "pyarrow"):
        with monkeypatch.context() as patch:
            patch.setattr(identity, "version", lambda name, other=library: str(name == other))
            found.add(_id())
    found.add(release_id("2026-01-01", INPUTS, as_mapping(replace(MODEL, seed=2)), {}))
    found.add(release_id("2026-01-01", (replace(INPUTS[0], sha256="ac"),), as_mapping(MODEL), {}))
    assert len(found) == 1 + 1 + 5 + 2
    with monkeypatch.context() as patch:
        patch.setattr(
            identity, "version", lambda name: "9" if name == "nightshelf" else version(name)
        )
        assert _id() in found


def test_a_setting_of_rows_with_its_default_leaves_the_id() -> None:
    """A new setting does not change the ids of those who do not use it; any other value does."""
    assert _id(OfTwo()) == _id()
    assert len({_id(), _id(OfTwo(timezone="Asia/Tokyo")), _id(OfTwo(skew_s=0))}) == 3


@pytest.mark.parametrize("theirs", [7, None], ids=["another number", "a release of 0.1.0"])
@pytest.mark.parametrize(
    "step", ["train", "evaluate --reference none", "recommend", "publish", "validate --table lists"]
)
def test_a_release_begun_with_another_number_is_refused(
    step: str,
    theirs: int | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Exit code 4 with both numbers and the way out; nothing is written."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    folder = write_release(tmp_path, "2026-01-01")
    begun = json.loads(folder.inputs.read_text())
    del begun["lists_version"]
    folder.inputs.write_text(json.dumps(begun if theirs is None else begun | {"lists_version": 7}))
    before = _files(folder.root)
    ended = run(capsys, *step.split(), "--release", folder.release)
    assert ended.exit_code == 4
    assert f"LISTS_VERSION {identity.LISTS_VERSION}" in ended.outcome["error"]
    assert ("LISTS_VERSION 7" if theirs else "without a LISTS_VERSION") in ended.outcome["error"]
    assert "nightshelf extract --partition 2026-01-01" in ended.outcome["do"]
    assert _files(folder.root) == before


def test_a_release_begun_with_another_library_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message names the library and both versions."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(tmp_path))
    folder = write_release(tmp_path, "2026-01-01")
    begun = json.loads(folder.inputs.read_text())
    begun["software"]["scipy"] = "0.1"
    folder.inputs.write_text(json.dumps(begun))
    ended = run(capsys, "train", "--release", folder.release)
    assert ended.exit_code == 4
    assert f"scipy 0.1 instead of {version('scipy')}" in ended.outcome["error"]
