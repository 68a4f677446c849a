"""Run: the complete chain for one day, as an orchestrator would call it step by step.

In: a partition, the drops under the artifacts, settings. Out: a live release, or the step that said no. Guarantees that
each step is the one its own command runs, in the order of the README, and that nothing follows a failed step.
"""

from contextlib import suppress
from dataclasses import dataclass

from jobs.evaluation import settings as evaluation_settings
from jobs.ingest.settings import RowSettings
from jobs.model import settings as model_settings
from jobs.pipeline import activate, evaluate, extract, publish, recommend, retire, train, validate
from jobs.release import references
from jobs.reports import data_report, stop_report
from jobs.runtime import notes
from jobs.runtime.artifacts import Artifacts, ReleaseFolder
from jobs.runtime.errors import BrokenInput, CheckCrashed, GateRefused, TryLater
from jobs.runtime.settings import Settings, read_settings
from jobs.store import histories
from jobs.store.activation import Approval
from jobs.validation.bounds import Bounds
from jobs.validation.result import Table


@dataclass(frozen=True)
class RunResult:
    """What the day came to; `repaired_values` and `store_warnings` as publish says them."""

    release: str
    reference: str | None
    verdict: str
    reasons: list[str]
    rows: int
    users: int
    data_as_of: str
    generation: int
    already_live: bool
    already_loaded: bool
    repaired_values: int
    store_warnings: tuple[str, ...]
    first_on_hold: bool
    retired: list[str]


def run(
    settings: Settings,
    partition: str,
    *,
    approval: Approval | None = None,
    reference: str | None = None,
    unchanged_ok: bool = False,
    today: str | None = None,
) -> RunResult:
    """Run every step of a day; `reference` None lets the journal choose it, `today` is as `activate` takes it.

    Raises what the first failing step raises.
    """
    artifacts = Artifacts(settings.artifacts)
    with suppress(TryLater):
        # Before hours of work for a store that refuses it; one that cannot be reached now may be there by then.
        histories.check(artifacts.journal, settings)
    compared = reference or references.choose(artifacts, partition).release
    model = model_settings.load(settings.model_settings, settings.engine, settings.rules)
    rows = read_settings(RowSettings)
    try:
        extracted = extract.run(
            artifacts.drops,
            artifacts.releases,
            partition,
            model,
            max_reject_share=settings.max_reject_share,
            run_by=settings.run_by,
            unchanged_ok=unchanged_ok,
            marker=settings.drop_marker,
            rows=rows,
        )
    except BrokenInput as problem:
        stop_report.attach(artifacts.releases, artifacts.drops, partition, problem)
        raise
    folder = artifacts.release(extracted.release)
    try:
        evaluated = _computed(artifacts, folder, compared, settings)
    except (GateRefused, CheckCrashed):
        # The pages of a stopped release are the ones that people need most.
        with notes.instead("the pages of this stop were not written"):
            data_report.run_all(folder)
        raise
    data_report.run_all(folder)
    published = publish.run(folder, settings)
    activated = activate.run(artifacts, folder.release, settings, approval=approval, today=today)
    return RunResult(
        release=folder.release,
        reference=compared,
        verdict=evaluated.verdict,
        reasons=evaluated.reasons,
        rows=extracted.rows_accepted,
        users=extracted.users,
        data_as_of=extracted.data_as_of,
        generation=activated.generation,
        already_live=activated.already_live,
        already_loaded=published.already_loaded,
        repaired_values=published.repaired_values,
        store_warnings=published.warnings,
        first_on_hold=activated.first_on_hold,
        retired=retire.run(settings).retired,
    )


def _computed(
    artifacts: Artifacts, folder: ReleaseFolder, compared: str | None, settings: Settings
) -> evaluate.EvaluateResult:
    """Validate the tables of a release, fit and evaluate its model, write and validate its lists."""
    _validate(artifacts, folder, "interactions", compared, settings)
    _validate(artifacts, folder, "books", compared, settings)
    train.run(folder, settings.run_by)
    evaluated = evaluate.run(
        folder,
        artifacts,
        evaluation_settings.load(),
        reference=compared,
        run_by=settings.run_by,
    )
    recommend.run(folder, settings.run_by)
    _validate(artifacts, folder, "lists", compared, settings)
    return evaluated


def _validate(
    artifacts: Artifacts,
    folder: ReleaseFolder,
    table: Table,
    reference: str | None,
    settings: Settings,
) -> None:
    validate.run(
        folder,
        table,
        artifacts.release(reference) if reference else None,
        bounds=read_settings(Bounds),
        max_reject_share=settings.max_reject_share,
        run_by=settings.run_by,
    )
