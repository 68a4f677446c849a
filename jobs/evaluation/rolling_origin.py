"""Rolling origin: at each past cut every ranking is fitted on what had arrived and asked for the next slice.

In: a release's rows in order of arrival, rankings, cuts as shares of the rows. Out: each ranking's lists at each cut,
and their metrics on the same users.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from jobs.evaluation import measured, ranking, slices
from jobs.evaluation.measured import DEPTH, Measured
from jobs.evaluation.ranked import Ids, Ranked
from jobs.evaluation.ranking import History
from jobs.evaluation.settings import EvaluationSettings
from jobs.model import metadata
from jobs.model.settings import ModelSettings
from jobs.model.two_stage import engine
from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, GateRefused
from jobs.runtime.progress import progress
from jobs.runtime.table_files import read_arrow, read_table
from schemas import tables

RECENT = "recent_popularity"


ALL_TIME = "all_time_popularity"


Ranker = Callable[[History], Ranked]


@dataclass(frozen=True)
class Rows:
    """A release's accepted rows in order of arrival, the ascending ids of its books, and their cards."""

    interactions: pa.Table
    catalogue: Ids
    cards: pl.DataFrame


def rows_of(folder: ReleaseFolder) -> Rows:
    """Return the rows of a release.

    Raises BrokenInput when extract has not finished, GateRefused when the rows are in no order of time.
    """
    if not inputs.read(folder)["time_ordered"]:
        raise GateRefused(
            "quality is not measurable: the source's rows are in no order of time",
            str(folder.inputs),
            "use a source whose rows tell when they came",
        )
    return read_rows(folder)


def read_rows(folder: ReleaseFolder) -> Rows:
    """Return the rows of a release, in order of time or not. Raises BrokenInput when extract has not finished."""
    cards = read_table(folder.books, "extract")
    interactions = read_arrow(folder.interactions, "extract")
    return Rows(interactions, cards[tables.BOOK_ID].to_numpy(), cards)


def ranking_of(rows: Rows, model: ModelSettings) -> Ranker:
    """Return the model as a ranking; of two stages, slices that were fitted once are kept for its next call."""
    if model.two_stage is None:
        return lambda past: ranking.by_model(past, model, DEPTH)
    width = engine.width_of(rows.interactions.num_rows, model)
    moments = engine.Moments(metadata.of_cards(rows.cards), model, width)
    return lambda past: ranking.by_two_stages(past, moments, DEPTH)


def rankers(rows: Rows, model: ModelSettings, settings: EvaluationSettings) -> dict[str, Ranker]:
    """Return the model, under its engine's name, and the two popularity lists it has to beat."""
    recent = settings.popularity_half_life_share
    return {
        model.engine: ranking_of(rows, model),
        RECENT: lambda past: ranking.by_popularity(past, recent, DEPTH),
        ALL_TIME: lambda past: ranking.by_popularity(past, math.inf, DEPTH),
    }


def cuts_at(
    rows: Rows, shares: tuple[float, ...], positive_from: int, width: float
) -> list[slices.Slice]:
    """Return the slices after each share of the rows that hold something to find.

    Raises BrokenInput when none does.
    """
    found = slices.at_shares(rows.interactions, rows.catalogue, shares, width, positive_from)
    cuts = [cut for cut in found if len(cut.case_ids)]
    if not cuts:
        raise BrokenInput(
            "there is no positive rating after any of the cuts",
            f"cuts at {shares} of {rows.interactions.num_rows} rows",
            "give more rows or other cuts",
        )
    return cuts


def roll(
    cuts: list[slices.Slice], rankings: dict[str, Ranker], description: str
) -> dict[str, list[Ranked]]:
    """Return each ranking's lists at each cut, fitted on the history of that cut alone."""
    lists: dict[str, list[Ranked]] = {name: [] for name in rankings}
    with progress(len(cuts) * len(rankings), description, "fit") as bar:
        for cut in cuts:
            past = ranking.history(cut.history, cut.catalogue)
            for name, ranker in rankings.items():
                lists[name].append(ranker(past))
                bar.update(1)
    return lists


def measure(
    cuts: list[slices.Slice], lists: dict[str, list[Ranked]], head_share: float
) -> dict[str, Measured]:
    """Return each ranking measured over all cuts."""
    return {name: measured.measure(cuts, listed, head_share) for name, listed in lists.items()}
