"""Report the model: what it is worth, what changed, and what users will see, on one page a release.

In: evaluation, decision, lists and rows of a release, and those of its reference. Out: `model.html` in the release's
folder. Guarantees a page that needs nothing but itself: no script, no font, no picture from anywhere; all text escaped.
"""

from dataclasses import dataclass
from pathlib import Path

from jobs.reports import model_plots, model_tables, sample_lists
from jobs.reports.rendering import render
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.files import write_text
from schemas.manifest import partition_of

_TEMPLATES = Path(model_tables.__file__).with_name("templates")


@dataclass(frozen=True)
class ModelReportResult:
    """Where the page lies, and the verdict it shows."""

    release: str
    verdict: str
    page: str


def run(folder: ReleaseFolder) -> ModelReportResult:
    """Write the model's page of a release. Raises BrokenInput when evaluate has not finished."""
    evaluated = model_tables.evaluated(folder)
    reference = _reference(folder, evaluated.reference)
    context = {
        "release": folder.release,
        "partition": partition_of(folder.release),
        "reference": evaluated.reference,
        "reference_has_page": reference is not None and reference.model_page.is_file(),
        "data_has_page": folder.data_page.is_file(),
        "judged": evaluated,
        "mark": model_tables.MARKS[evaluated.verdict],
        "past": model_plots.plots(folder),
        # A release that was stopped has no lists yet.
        "shown": sample_lists.of(folder, reference) if folder.lists.is_file() else None,
    }
    write_text(folder.model_page, render(_TEMPLATES, "model.html", context))
    return ModelReportResult(folder.release, evaluated.verdict, str(folder.model_page))


def _reference(folder: ReleaseFolder, reference: str | None) -> ReleaseFolder | None:
    """Return the folder of the reference if its lists are still there."""
    if reference is None:
        return None
    found = ReleaseFolder(folder.root.parent / reference)
    return found if found.lists.is_file() else None
