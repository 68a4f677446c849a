"""Validate: is a table of a release fit to go on with?

In: a table of a release, the release it is compared with or none, bounds. Out: `validation/<table>.json`,
`validation/<table>.html`, whatever the answer; `records/validate_<table>.json` if it is yes.
Guarantees that bad data stops the run, that a check which could not be carried out is distinguished from one that
failed, and that an answer counts only for the very files that were read.
"""

from dataclasses import asdict, dataclass
from typing import Any

from jobs.release import inputs, references
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, CheckCrashed, GateRefused, NightshelfError, WrongUsage
from jobs.runtime.record import finished, recorded
from jobs.validation import expectations, result, tables
from jobs.validation.bounds import Bounds
from jobs.validation.result import Result, Status, Table
from jobs.validation.tables import Task
from schemas.manifest import partition_of


@dataclass(frozen=True)
class ValidateResult:
    """A table that passed: how many expectations were met, where the result lies, and where the report belongs."""

    release: str
    table: Table
    reference: str | None
    status: Status
    expectations: int
    result: str
    report: str
    reused: bool = False


def run(
    folder: ReleaseFolder,
    table: Table,
    reference: ReleaseFolder | None,
    *,
    bounds: Bounds,
    max_reject_share: float,
    run_by: str,
) -> ValidateResult:
    """Validate one table of a release; `reference` is the release it is compared with, or None.

    Raises GateRefused that names the expectations which are not met, CheckCrashed when one could not be validated,
    BrokenInput when a file is missing or unreadable or an unfinished release is of another LISTS_VERSION,
    WrongUsage when the reference is not of an earlier day. The result is kept in the first two cases too.
    """
    task = Task(folder, table, reference, bounds, max_reject_share)
    _require_earlier(task)
    if reference is not None:
        references.require(reference, result.judged_files(reference, table)[:1])
    inputs.require_own(folder, finished_ok=True)
    standing = _standing(task)
    if standing is not None:
        return standing
    step = f"validate_{table}"
    # An older yes must not outlive the answer that is being made.
    (folder.records / f"{step}.json").unlink(missing_ok=True)
    with recorded(step, folder.records, run_by) as counts:
        found = _validated(task)
        _refuse(folder, found)
        outcome = ValidateResult(
            release=folder.release,
            table=table,
            reference=found.reference,
            status=found.status,
            expectations=len(found.outcomes),
            result=str(folder.validation(table)),
            report=str(folder.data_page),
        )
        counts.update({k: v for k, v in vars(outcome).items() if k != "reused"})
    return outcome


def _require_earlier(task: Task) -> None:
    if task.reference is None:
        return
    before, own = partition_of(task.reference.release), partition_of(task.folder.release)
    if before >= own:
        raise WrongUsage(
            f"the reference {task.reference.release} is not of a day before {own}",
            "--reference",
            "name a release of an earlier partition, or none",
        )


def _standing(task: Task) -> ValidateResult | None:
    """Return the outcome of an earlier run that validated the same files in the same way and passed."""
    try:
        kept = finished(task.folder.records, f"validate_{task.table}", ValidateResult)
        found = result.read(task.folder, task.table)
    except BrokenInput:
        return None  # validated again
    same = (
        found is not None
        and found.status == "passed"
        and found.reference == _reference(task)
        and found.bounds == _bounds(task)
        and result.is_current(task.folder, found)
    )
    return kept if same else None


def _validated(task: Task) -> Result:
    """Validate the table, keep the result and return it."""
    digests = result.digests(task.folder, task.table)
    try:
        validated, numbers = tables.validate(task)
    except NightshelfError:
        raise
    except Exception as error:  # noqa: BLE001  # whatever it is, nothing was validated, and that is reported
        validated, numbers = expectations.crash(error), {}
    found = Result(
        release=task.folder.release,
        table=task.table,
        reference=_reference(task),
        status=validated.status,
        outcomes=validated.outcomes,
        judged=digests,
        bounds=_bounds(task),
        facts={**numbers, "stopped_at": validated.stopped_at},
    )
    result.write(task.folder, found, validated.raw)
    return found


def _refuse(folder: ReleaseFolder, found: Result) -> None:
    """Return if the table passed; raise what its status calls for."""
    named = "; ".join(
        f"{outcome.name}: {outcome.text} (observed: {outcome.observed}){_such_as(outcome.examples)}"
        for outcome in found.outcomes
        if outcome.status == found.status
    )
    where = str(folder.validation(found.table).with_suffix(".html"))
    if found.status == "crashed":
        raise CheckCrashed(
            f"the {found.table} could not be validated: {named}",
            where,
            "see what was raised in the .json beside it; nothing is known about the data",
        )
    if found.status == "failed":
        raise GateRefused(
            f"the {found.table} did not pass: {named}",
            where,
            "fix the source and run again from extract; or, if the data is right, widen the bound "
            "(table of settings in jobs/README.md)",
        )


def _such_as(examples: tuple[str, ...]) -> str:
    return f", such as {'; '.join(examples)}" if examples else ""


def _reference(task: Task) -> str | None:
    return task.reference.release if task.reference else None


def _bounds(task: Task) -> dict[str, Any]:
    return {**asdict(task.bounds), "max_reject_share": task.max_reject_share}
