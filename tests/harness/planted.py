"""Bad models, planted into the factors of a release.

In: a trained release, and for one of them its predecessor. Out: the release with other factors. No product.
"""

from collections.abc import Callable

import numpy as np
import polars as pl

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.table_files import write_table
from schemas import tables

Factors = pl.DataFrame


def _vectors(table: Factors) -> np.ndarray:
    return np.asarray(table[tables.VECTOR].to_numpy())


def _is_user(table: Factors) -> np.ndarray:
    return (table[tables.SIDE] == tables.SIDE_USER).to_numpy()


def _with(table: Factors, vectors: np.ndarray) -> Factors:
    column = pl.Series(tables.VECTOR, vectors, dtype=table.schema[tables.VECTOR])
    return table.with_columns(column)


def permuted(table: Factors, _before: Factors) -> Factors:
    """Give every user another user's vector."""
    vectors, users = _vectors(table).copy(), np.flatnonzero(_is_user(table))
    vectors[users] = vectors[np.random.default_rng(3).permutation(users)]
    return _with(table, vectors)


def half_missing(table: Factors, _before: Factors) -> Factors:
    """Lose every other user."""
    return table.filter(~(_is_user(table) & (np.arange(table.height) % 2 == 0)))


def one_list_for_all(table: Factors, _before: Factors) -> Factors:
    """Give every user the same vector, the mean of all: one list for everybody."""
    vectors, users = _vectors(table).copy(), _is_user(table)
    vectors[users] = vectors[users].mean(axis=0)
    return _with(table, vectors)


def shifted_from_yesterday(table: Factors, before: Factors) -> Factors:
    """Take yesterday's vectors, each book's one place further on."""
    both = table.join(
        before, on=[tables.SIDE, tables.ENTITY_ID], how="left", suffix="_old", maintain_order="left"
    )
    old = both[f"{tables.VECTOR}_old"].to_list()
    width = _vectors(table).shape[1]
    vectors = np.array([row if row is not None else [0.0] * width for row in old], dtype=np.float32)
    books = ~_is_user(table)
    vectors[books] = np.roll(vectors[books], 1, axis=0)
    return _with(table, vectors)


MODELS: dict[str, Callable[[Factors, Factors], Factors]] = {
    "permuted": permuted,
    "half_missing": half_missing,
    "one_list_for_all": one_list_for_all,
    "shifted_from_yesterday": shifted_from_yesterday,
}


def plant(name: str, folder: ReleaseFolder, before: ReleaseFolder) -> None:
    """Replace the factors of `folder` by those of a bad model."""
    found = MODELS[name](pl.read_parquet(folder.factors), pl.read_parquet(before.factors))
    width = _vectors(found).shape[1]
    write_table(folder.factors, found.to_arrow(), tables.factors(width))
