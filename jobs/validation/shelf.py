"""What is expected of lists where shelf rules hold: next to no list breaks one in its first places.

In: `lists.parquet`, what its users rated, the cards, the rules of the release. Out: a suite of one row. A list that
holds fewer books than wanted is left out: there the catalogue ran out, and with it what a rule could have put forward.
"""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

from jobs.model import matrix, metadata
from jobs.model.shelf import faults
from jobs.model.shelf.history import Read
from jobs.model.shelf.rules import ShelfRules
from jobs.model.shelf.shelving import TOP
from jobs.runtime import list_column
from jobs.validation.check import Check, Suite, between
from jobs.validation.listing import Base, Given
from jobs.validation.texts import percent
from schemas import sources
from schemas.tables import BOOK_ID, BOOK_IDS, SOURCE, USER_ID

_TEXTS = {
    "volumes_in_order": "two volumes of a series in the wrong order",
    "first_volume_first": "a later volume of a series of which nothing earlier was read",
    "most_of_an_author": "more books of one author than the rules allow",
    "most_of_a_series": "more books of one series than the rules allow",
    "no_box_set_of_a_begun_series": "a box set of a series that was begun",
    "no_second_edition": "a second edition of a book that was read or is listed",
}


def suites(
    table: pa.Table, cards: pa.Table, base: Base, given: Given, rules: ShelfRules
) -> tuple[Suite, ...]:
    """Return the suite on the first places of the users' lists, none without a list to look at."""
    books, lengths = list_column.flat(table[BOOK_IDS])
    engines = np.isin(table[SOURCE].to_numpy(zero_copy_only=False), sources.ENGINES)
    chosen = np.flatnonzero(engines & (lengths == given.list_length))
    if not len(chosen):
        return ()
    starts = (np.cumsum(lengths) - lengths)[chosen]
    items = matrix.Ids(cards[BOOK_ID].to_numpy())
    top = items.positions(books[starts[:, None] + np.arange(min(TOP, given.list_length))].ravel())
    told = metadata.of_cards(pl.DataFrame(pl.from_arrow(cards)))
    read = _read(table[USER_ID].to_numpy()[chosen], items, base)
    found = faults.count(top.reshape(len(chosen), -1), read, told, rules).by_rule
    most = given.bounds.shelf_faults_max_share
    checks: tuple[Check, ...] = tuple(
        between(
            f"shelf_{name}",
            f"At most {percent(most)} of the lists hold in their first ten {_TEXTS[name]}",
            name,
            0,
            most,
            measure="share",
        )
        for name in found
    )
    frame = pd.DataFrame({name: [float(values.mean())] for name, values in found.items()})
    return (Suite("shelf", frame, checks),) if checks else ()


def _read(users: np.ndarray, items: matrix.Ids, base: Base) -> Read:
    """Return what `users`, ascending, have rated."""
    kept = np.isin(base.users, users)
    rows = np.searchsorted(users, base.users[kept])
    return Read(rows, items.positions(base.books[kept]).astype(np.int32))
