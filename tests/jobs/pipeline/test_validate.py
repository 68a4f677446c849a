"""The validate step: what it keeps, what it raises, when it believes an earlier answer."""

import json
from pathlib import Path

import pytest

from jobs.cli import main
from jobs.pipeline import validate
from jobs.reports import data_report
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, CheckCrashed, GateRefused, WrongUsage
from jobs.validation import result
from jobs.validation.bounds import Bounds
from schemas import tables as t
from tests.harness import good_tables
from tests.harness.good_tables import change


@pytest.fixture
def release(tmp_path: Path) -> ReleaseFolder:
    """A release whose tables are all good."""
    return good_tables.write_release(tmp_path / "releases")


@pytest.fixture
def reference(tmp_path: Path) -> ReleaseFolder:
    """A release of the day before, whose tables are all good."""
    return good_tables.write_release(tmp_path / "releases", good_tables.BEFORE, users=22)


def run(
    folder: ReleaseFolder,
    table: result.Table = "books",
    reference: ReleaseFolder | None = None,
    bounds: Bounds | None = None,
) -> validate.ValidateResult:
    """Run the step, and write the pages as the command does."""
    with data_report.written(folder):
        return validate.run(
            folder,
            table,
            reference,
            bounds=bounds or Bounds(),
            max_reject_share=0.05,
            run_by="a test",
        )


def break_titles(folder: ReleaseFolder) -> None:
    """Empty two titles."""

    def edit(rows: list[good_tables.Row]) -> None:
        rows[3][t.TITLE] = rows[4][t.TITLE] = ""

    change(folder.books, t.BOOKS, edit)


def record(folder: ReleaseFolder, table: str = "books") -> Path:
    """Return the path of the step's record."""
    return folder.records / f"validate_{table}.json"


@pytest.mark.parametrize("table", result.TABLES)
def test_good_tables_are_passed_and_kept(
    release: ReleaseFolder, reference: ReleaseFolder, table: result.Table
) -> None:
    """A good table leaves result, pages and record, and counts as passed for whoever asks."""
    outcome = run(release, table, reference)
    kept = json.loads(release.validation(table).read_text("utf-8"))
    assert outcome.status == kept["status"] == result.status(release, table) == "passed"
    assert outcome.expectations == len(kept["outcomes"])
    assert kept["reference"] == reference.release
    assert kept["great_expectations"]["version"].startswith("1.")
    assert record(release, table).is_file()
    assert release.validation(table).with_suffix(".html").is_file()
    assert (release.root / "report.html").is_file()
    result.require_passed(release, (table,))


def test_bad_data_is_refused_by_name(release: ReleaseFolder) -> None:
    """A failed expectation is named with what was observed; result and pages are kept, no record is."""
    break_titles(release)
    with pytest.raises(GateRefused, match=r"titles: .*\(observed: 2 of 30 titles are empty\)"):
        run(release)
    assert GateRefused.exit_code == 3
    assert result.status(release, "books") == "failed"
    assert "2 of 30 titles are empty" in (release.root / "report.html").read_text("utf-8")
    assert release.validation("books").with_suffix(".html").is_file()
    assert not record(release).exists()
    with pytest.raises(GateRefused, match="books: validation failed"):
        result.require_passed(release, ("books",))


def test_a_crash_is_neither_bad_data_nor_fine(release: ReleaseFolder) -> None:
    """An expectation that cannot be evaluated (its bounds contradict each other) is its own error, code 1."""
    with pytest.raises(CheckCrashed, match=r"could not be validated: .*min_value"):
        run(release, bounds=Bounds(earliest_year=4000))
    assert CheckCrashed.exit_code == 1
    assert result.status(release, "books") == "crashed"
    assert not record(release).exists()
    assert "Crashed" in (release.root / "report.html").read_text("utf-8")


def test_a_crash_while_preparing_is_a_crash(release: ReleaseFolder) -> None:
    """What cannot even be prepared (the inputs do not say which files there were) has crashed too."""
    begun = json.loads(release.inputs.read_text("utf-8"))
    begun["inputs"] = [{}]
    release.inputs.write_text(json.dumps(begun), "utf-8")
    with pytest.raises(CheckCrashed, match="KeyError"):
        run(release)
    assert result.status(release, "books") == "crashed"


def test_a_missing_file_is_broken_input(release: ReleaseFolder) -> None:
    """A table that was never written is broken input that names the step to run."""
    release.lists.unlink()
    with pytest.raises(BrokenInput, match=r"lists\.parquet is missing(.|\n)*nightshelf recommend"):
        run(release, "lists")


def test_the_same_answer_is_not_worked_out_twice(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """A second run of the same question reuses the answer; another question does not."""
    assert not run(release, reference=reference).reused
    assert run(release, reference=reference).reused
    assert not run(release).reused
    assert run(release).reused
    assert not run(release, bounds=Bounds(earliest_year=0)).reused


def test_an_answer_about_other_bytes_is_not_believed(release: ReleaseFolder) -> None:
    """When the table has changed since, it is judged again, and an old yes does not outlive a no."""
    run(release)
    break_titles(release)
    assert result.status(release, "books") is None
    with pytest.raises(GateRefused):
        run(release)
    assert not record(release).exists()
    assert result.status(release, "books") == "failed"


def test_the_same_table_gives_the_same_bytes(release: ReleaseFolder) -> None:
    """Result and report of the same table are the same, byte for byte."""
    paths = (release.validation("interactions"), release.root / "report.html")
    run(release, "interactions")
    first = [path.read_bytes() for path in paths]
    record(release, "interactions").unlink()
    run(release, "interactions")
    assert [path.read_bytes() for path in paths] == first


def test_the_reference_must_be_of_an_earlier_day(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """A backfilled day is never compared with a later one, nor with itself."""
    with pytest.raises(WrongUsage, match="not of a day before"):
        run(reference, reference=release)
    with pytest.raises(WrongUsage, match="not of a day before"):
        run(release, reference=release)


def test_a_reference_without_its_table_is_broken_input(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """A reference whose files are gone is told, not silently left out."""
    reference.interactions.unlink()
    with pytest.raises(BrokenInput, match=r"of 2026-03-01 is gone: it lacks interactions"):
        run(release, "interactions", reference)


def test_the_command_speaks_json_and_ends_with_the_gates_code(
    release: ReleaseFolder,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`nightshelf validate` ends with 0 for good data, with 3 for bad; bounds come from the environment."""
    monkeypatch.setenv("NIGHTSHELF_ARTIFACTS", str(release.root.parent.parent))
    arguments = ["validate", "--release", release.release, "--table", "books"]
    with pytest.raises(SystemExit) as end:
        main.main([*arguments, "--reference", "none"])
    assert end.value.code == 0
    assert json.loads(capsys.readouterr().out)["status"] == "passed"
    monkeypatch.setenv("NIGHTSHELF_EARLIEST_YEAR", "1903")
    with pytest.raises(SystemExit) as end:
        main.main(arguments)
    assert end.value.code == 3
    said = json.loads(capsys.readouterr().out)
    # Book 1 has no year; book 2 is of 1902.
    assert "observed: 1 of 30 cards have another year" in said["error"]
