"""The metrics of the model over the releases, as plots.

In: `evaluation.json` of a release and of those before it. Out: a plot a metric. Guarantees that every number stands
with its interval, and that every number in a plot is in its table too.
"""

import sys
from typing import Any

from jobs.release import decision
from jobs.reports import figure
from jobs.reports.figure import Plot
from jobs.reports.model_tables import METRICS, NAMES, engine_of, interval
from jobs.runtime.artifacts import ReleaseFolder, release_folders
from jobs.runtime.errors import NightshelfError
from schemas.manifest import partition_of

_RECENT = "recent_popularity"
_RELEASES = 30
#: Two beside each other on a wide screen, one on a phone.
_WIDTH, _HEIGHT = 340, 190

Points = list[tuple[str, dict[str, Any]]]


def plots(folder: ReleaseFolder) -> tuple[Plot, ...]:
    """Return each metric of the model and of recent popularity over the releases up to this one, if there are two."""
    evaluated = [
        one
        for one in release_folders(folder.root.parent)
        if one.release <= folder.release and one.evaluation.is_file()
    ]
    points = []
    for one in evaluated[-_RELEASES:]:
        try:
            metrics = decision.metrics(one)
        except NightshelfError as error:
            # The page is about this release: another one's damage does not stop it.
            print(f"note: a release is left out of the plots: {error}", file=sys.stderr)
            continue
        if _RECENT in metrics:
            points.append((one.release, metrics))
    # A release of before a metric was there has no point in that metric's plot.
    having = ((key, [one for one in points if _has(one[1], key)]) for key in METRICS)
    return tuple(_plot(key, some) for key, some in having if len(some) > 1)


def _has(metrics: dict[str, Any], key: str) -> bool:
    return all(key in metrics[name] for name in (engine_of(metrics), _RECENT))


def _plot(key: str, points: Points) -> Plot:
    title, meaning = METRICS[key]
    rows = tuple(
        (release, interval(metrics[engine_of(metrics)][key]), interval(metrics[_RECENT][key]))
        for release, metrics in points
    )
    newest = rows[-1]
    own, recent = NAMES[engine_of(points[-1][1])], NAMES[_RECENT]
    spoken = (
        f"{title} of {len(rows)} releases; the newest {newest[0]}: {own.lower()} {newest[1]}, "
        f"{recent.lower()} {newest[2]}"
    )
    return Plot(
        title=f"{title} over the releases",
        note=meaning,
        svg=_drawn(key, points, spoken),
        columns=("Release", own, recent),
        rows=rows,
    )


def _drawn(key: str, points: Points, spoken: str) -> Any:
    drawn, axes = figure.blank(_WIDTH, _HEIGHT)
    places = list(range(len(points)))
    ours = [metrics[engine_of(metrics)][key] for _, metrics in points]
    theirs = [metrics[_RECENT][key] for _, metrics in points]
    for values, colour, marker in ((ours, figure.OWN, "o"), (theirs, figure.REFERENCE, "s")):
        axes.vlines(
            places, [v["low"] for v in values], [v["high"] for v in values], color=colour, lw=1.4
        )
        axes.plot(places, [v["value"] for v in values], marker, color=colour, markersize=4)
    axes.set_ylim(bottom=0)
    axes.tick_params(axis="x", pad=9)  # below the lowest number of the other axis
    axes.grid(visible=True, axis="y", color=figure.RULE, lw=0.8)
    ends = sorted({0, len(points) - 1})
    axes.set_xticks(ends, [partition_of(points[end][0]) for end in ends])
    return figure.svg(drawn, f"over-releases-{key.replace('_', '-')}", spoken)
