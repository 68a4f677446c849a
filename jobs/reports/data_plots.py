"""Small plots of a day and of how it differs from its reference release.

In: the facts of the interactions. Out: plots with their title, their numbers as a table, and an SVG. Guarantees that
nothing is shown by colour alone (this release is filled, the reference is an outline) and that every number in
a plot is in its table too.
"""

from datetime import date
from statistics import median

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from jobs.reports import figure
from jobs.reports.figure import Plot
from jobs.validation.facts import Facts
from jobs.validation.texts import number
from schemas.tables import RATINGS

_WIDTH = 340
_NONE = "–"
#: Bars end at this many times the middle one.
_CUT = 3
#: A smaller change would be shown as 0.0 %: it is shown as a number.
_SMALL = 0.0005


def of(
    own: Facts, reference: Facts | None, positive_from: int, bounds: tuple[float, float]
) -> tuple[Plot, ...]:
    """Return the plots of a day; `bounds` are those of the share of positive ratings."""
    return (
        _sizes(own, reference),
        _ratings(own, reference),
        _positive(own, reference, positive_from, bounds),
        _days(own),
    )


def _sizes(own: Facts, reference: Facts | None) -> Plot:
    drawn, axes = figure.blank(_WIDTH, 190)
    rows = []
    for place, name in enumerate(("rows", "users", "books")):
        now, before = getattr(own, name), getattr(reference, name, None)
        noun, text = ("ratings" if name == "rows" else name), number(now)
        cells: tuple[str, ...] = (number(now),)
        most = max(now, before or 0, 1)
        if before is not None:
            axes.barh(place, before / most, 0.5, fill=False, edgecolor=figure.REFERENCE, lw=1.6)
            cells = (number(now), number(before), change(now, before))
            text = f"{text}  ({change(now, before)})"
        axes.barh(place, now / most, 0.28, color=figure.OWN)
        axes.text(0, place - 0.33, f"{noun}: {text}", color=figure.INK, fontsize=12)
        rows.append((noun.capitalize(), *cells))
    axes.set(xlim=(0, 1.02), ylim=(2.35, -0.65), xticks=[], yticks=[])
    _legend(axes, reference)
    columns = ("", "This release") + (() if reference is None else ("Reference", "Change"))
    title = "Ratings, users and books"
    spoken = "; ".join(" ".join(row) for row in rows)
    return Plot(
        title,
        "Each bar is drawn to its own scale.",
        figure.svg(drawn, "plot-sizes", f"{title}. {', '.join(columns[1:])}: {spoken}."),
        columns,
        tuple(rows),
    )


def _ratings(own: Facts, reference: Facts | None) -> Plot:
    drawn, axes = figure.blank(_WIDTH, 178)
    now = _shares(own)
    before = _shares(reference) if reference is not None else None
    if before is not None:
        axes.bar(RATINGS, before, 0.66, fill=False, edgecolor=figure.REFERENCE, lw=1.6)
    axes.bar(RATINGS, now, 0.38, color=figure.OWN)
    for place, rating in enumerate(RATINGS):
        top = max(now[place], before[place] if before else 0.0)
        label = number(now[place], "share")
        axes.text(rating, top + 0.012, label, ha="center", color=figure.INK, fontsize=11)
    most = max(*now, *(before or ()), 0.1)
    axes.set(xticks=RATINGS, yticks=[], ylim=(0, most * 1.18))
    _legend(axes, reference)
    columns = ("Rating", "This release") + (() if before is None else ("Reference",))
    shown = [_lines(facts) for facts in (own, reference) if facts is not None]
    rows = tuple(zip(map(str, RATINGS), *shown, strict=True))
    title = "How the ratings are spread"
    spoken = "; ".join(f"{row[0]}: {', '.join(row[1:])}" for row in rows)
    return Plot(
        title,
        "Share of all ratings that are 1 to 5.",
        figure.svg(drawn, "plot-ratings", f"{title}. {', '.join(columns)}: {spoken}."),
        columns,
        rows,
    )


def _positive(
    own: Facts, reference: Facts | None, positive_from: int, bounds: tuple[float, float]
) -> Plot:
    drawn, axes = figure.blank(_WIDTH, 92)
    low, high = bounds
    axes.barh(0, high - low, 0.5, left=low, color=figure.RULE)
    rows = [("This release", number(own.positive_share, "share"))]
    if reference is not None:
        share = reference.positive_share
        axes.plot([share], [0], "D", ms=11, mfc="none", mec=figure.REFERENCE, mew=1.8, zorder=4)
        rows.append(("Reference", number(share, "share")))
    axes.plot([own.positive_share], [0], "o", ms=7, color=figure.OWN, zorder=5)
    text = number(own.positive_share, "share")
    axes.text(own.positive_share, 0.42, text, ha="center", color=figure.INK, fontsize=12)
    axes.set(xlim=(-0.03, 1.03), ylim=(-0.4, 0.95), yticks=[])
    axes.set_xticks([0, 0.5, 1], ["0 %", "50 %", "100 %"])
    rows.append(("Lower bound", number(low, "share")))
    rows.append(("Upper bound", number(high, "share")))
    title = "Share of positive ratings"
    spoken = "; ".join(" ".join(row) for row in rows)
    note = f"Ratings of {positive_from} or more. The dot is this release, the band what is accepted"
    return Plot(
        title,
        f"{note}{'' if reference is None else ', the diamond the reference'}.",
        figure.svg(drawn, "plot-positive", f"{title}. {spoken}."),
        ("", "Share"),
        tuple(rows),
    )


def _days(own: Facts) -> Plot:
    drawn, axes = figure.blank(_WIDTH, 130)
    days, counts = list(own.days), list(own.days.values())
    places = [date.fromisoformat(day).toordinal() for day in days]
    # The first day of a replay may hold most rows: it is cut off, with its number, so that the others are seen.
    top = min(max(counts), _CUT * median(counts))
    axes.bar(places, [min(count, top) for count in counts], 0.7, color=figure.OWN)
    tallest = counts.index(max(counts))
    text = number(counts[tallest]) + (" (cut off)" if counts[tallest] > top else "")
    side = "left" if tallest < len(days) / 2 else "right"
    at = places[tallest] + (-0.35 if side == "left" else 0.35)
    axes.text(at, top * 1.04, text, ha=side, color=figure.INK, fontsize=11)
    ends = sorted({0, len(days) - 1})
    axes.set(ylim=(0, top * 1.2), yticks=[])
    axes.set_xticks([places[end] for end in ends], [days[end] for end in ends])
    if len(ends) > 1:
        first, last = axes.get_xticklabels()
        first.set_horizontalalignment("left")
        last.set_horizontalalignment("right")
    title = "Ratings by day of arrival"
    spoken = (
        f"{days[0]} to {days[-1]}, at least {number(min(counts))}, at most {number(max(counts))}"
    )
    return Plot(
        title,
        f"The newest {len(days)} days on which any arrived." if len(days) > 1 else "",
        figure.svg(drawn, "plot-days", f"{title}: {spoken}."),
        ("Day", "Ratings"),
        tuple((day, number(count)) for day, count in own.days.items()),
    )


def change(now: int, before: int) -> str:
    """Return how many more or less `now` is than `before`, in percent, or as a number if that is hardly any."""
    if not before:
        return _NONE
    share = now / before - 1
    if abs(share) < _SMALL:
        return f"{now - before:+,}".replace("-", "−") if now != before else "0 %"
    text = f"{abs(share):.1%}".replace("%", " %")
    return f"{'−' if share < 0 else '+'}{text}"


def _shares(facts: Facts) -> list[float]:
    return [count / max(facts.rows, 1) for count in facts.ratings]


def _lines(facts: Facts) -> list[str]:
    pairs = zip(facts.ratings, _shares(facts), strict=True)
    return [f"{number(count)} ({number(share, 'share')})" for count, share in pairs]


def _legend(axes: Axes, reference: Facts | None) -> None:
    if reference is None:
        return
    handles = [
        Patch(color=figure.OWN, label="this release"),
        Patch(fill=False, edgecolor=figure.REFERENCE, lw=1.6, label="reference"),
    ]
    axes.legend(
        handles=handles,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        ncols=2,
        frameon=False,
        fontsize=11,
        labelcolor=figure.MUTED,
        handlelength=1.2,
    )
