"""Run: the whole chain for one day, as an orchestrator would call it step by step.

In: a partition, the drops under the artifacts, settings. Out: a live release, or the step that said no. Guarantees that
each step is the one its own command runs, in the order of the README, and that nothing follows a failed step.
"""

from contextlib import suppress
from dataclasses import dataclass

from jobs import (
    activate,
    evaluate,
    extract,
    publish,
    recommend,
    report,
    retire,
    train,
    validate,
)
from jobs.activate import Approval
from jobs.judgement import settings as judgement_settings
from jobs.model import settings as model_settings
from jobs.quality.bounds import Bounds
from jobs.quality.result import Table
from jobs.release import references
from jobs.release.folder import Artifacts, ReleaseFolder
from jobs.runtime import notes
from jobs.runtime.errors import GateRefused, TryLater
from jobs.runtime.settings import Settings, read_settings
from jobs.source.settings import RowSettings
from jobs.store import histories


@dataclass(frozen=True)
class Outcome:
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
) -> Outcome:
    """Run every step of a day; `reference` None lets the journal choose it, `today` is as `activate` takes it.

    Raises what the first failing step raises.
    """
    artifacts = Artifacts(settings.artifacts)
    with suppress(TryLater):
        # Before hours of work for a store that refuses it; one that cannot be reached now may be there by then.
        histories.check(artifacts.journal, settings)
    compared = reference or references.choose(artifacts, partition).release
    extracted = extract.run(
        artifacts.drops,
        artifacts.releases,
        partition,
        model_settings.load(settings.model_settings, settings.engine),
        max_reject_share=settings.max_reject_share,
        run_by=settings.run_by,
        unchanged_ok=unchanged_ok,
        marker=settings.drop_marker,
        rows=read_settings(RowSettings),
    )
    folder = artifacts.release(extracted.release)
    _validate(artifacts, folder, "interactions", compared, settings)
    _validate(artifacts, folder, "books", compared, settings)
    train.run(folder, settings.run_by)
    try:
        judged = evaluate.run(
            folder,
            artifacts,
            judgement_settings.load(),
            reference=compared,
            run_by=settings.run_by,
        )
        recommend.run(folder, settings.run_by)
        _validate(artifacts, folder, "lists", compared, settings)
    except GateRefused:
        # The pages of a stopped release are the ones that people need most.
        with notes.instead("the pages of this stop were not written"):
            report.run_all(folder)
        raise
    report.run_all(folder)
    published = publish.run(folder, settings)
    activated = activate.run(artifacts, folder.release, settings, approval=approval, today=today)
    return Outcome(
        release=folder.release,
        reference=compared,
        verdict=judged.verdict,
        reasons=judged.reasons,
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
