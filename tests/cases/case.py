"""One case: the commands that it runs, and what they left.

In: a folder of the test, handed inputs. Out: results of commands and the tables of the release that was begun.
Holds that every case has artifacts of its own, and that what a refused command leaves is compared with what was there.
"""

import hashlib
import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest

from tests.harness.command_line import Result, run

#: The days on which a handed file is replayed.
FIRST_DAY, LAST_DAY = "2026-01-01", "2026-01-04"
REFUSED = 4


def handed(kind: str) -> list[Path]:
    """Return the handed folders of a kind."""
    return sorted((Path(os.environ["NIGHTSHELF_CASES"]).resolve() / kind).iterdir())


@dataclass
class Case:
    """Commands run in this process on artifacts below `folder`; `outcome` is that of the last extract."""

    folder: Path
    capsys: pytest.CaptureFixture[str]
    caplog: pytest.LogCaptureFixture
    monkeypatch: pytest.MonkeyPatch
    release: Path = field(init=False)

    def __post_init__(self) -> None:
        """Point the commands to this case's artifacts."""
        self.use("artifacts")

    @property
    def artifacts(self) -> Path:
        """The artifacts that commands work on."""
        return Path(os.environ["NIGHTSHELF_ARTIFACTS"])

    def use(self, name: str) -> None:
        """Let the following commands work on other artifacts."""
        self.set("NIGHTSHELF_ARTIFACTS", self.folder / name)

    def set(self, name: str, value: object) -> None:
        """Set a setting."""
        self.monkeypatch.setenv(name, str(value))

    def land(self, drops: Path) -> None:
        """Copy handed drops into the artifacts, writable."""
        target = self.artifacts / "drops"
        shutil.copytree(drops, target, copy_function=shutil.copyfile)
        for entry in (target, *target.rglob("*")):
            entry.chmod(0o755 if entry.is_dir() else 0o644)

    def command(self, *arguments: object) -> Result:
        """Run a command to its end; what a process of its own would log to standard error is in `told`, too."""
        self.caplog.clear()
        result = run(self.capsys, *arguments)
        return replace(result, text="\n".join([*self.caplog.messages, result.text]))

    def done(self, *arguments: object) -> Result:
        """Run a command that has to end with 0."""
        result = self.command(*arguments)
        assert result.exit_code == 0, result.text
        return result

    def refused(self, *arguments: object) -> str:
        """Run a command that has to be refused and to change nothing; return what it said."""
        before = self._state()
        result = self.command(*arguments)
        assert result.exit_code == REFUSED, (result.exit_code, result.text)
        for part in ("error: ", "do: "):
            assert part in result.text, result.text
        assert self._state() == before
        return result.text

    def _state(self) -> dict[str, str]:
        """Return a checksum of every file; pages of stopped days may be added at any time."""
        return {
            str(path.relative_to(self.artifacts)): hashlib.sha256(path.read_bytes()).hexdigest()
            for part in ("drops", "releases", "journal")
            for path in (self.artifacts / part).rglob("*")
            if path.is_file()
            and not {"stopped", "rejected"} & set(path.parts)
            and path.suffix != ".html"
        }

    def replay(self, source: Path, *more: object) -> Result:
        """Replay a folder, which has to work."""
        days = ("--from", FIRST_DAY, "--to", LAST_DAY)
        return self.done("replay", "--source", source, *days, *more)

    def extract(self, day: str = LAST_DAY, *more: object) -> Result:
        """Extract a day, which has to work."""
        result = self.done("extract", "--partition", day, *more)
        self.release = self.artifacts / "releases" / result.outcome["release"]
        return result

    def validate(self, name: str) -> Result:
        """Judge a table of the release that was begun last; it may fail."""
        release = self.release.name
        return self.command(
            "validate", "--release", release, "--table", name, "--reference", "none"
        )

    def table(self, name: str) -> pl.DataFrame:
        """Return a table of the release that was begun last."""
        return pl.read_parquet(self.release / f"{name}.parquet")

    def interactions(self) -> bytes:
        """Return the bytes of the accepted rows."""
        return (self.release / "interactions.parquet").read_bytes()
