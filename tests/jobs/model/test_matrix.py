"""Ids as positions."""

import numpy as np
import pytest

from jobs.model.matrix import Ids

#: Ids close together, which a table finds; ids far apart, which a search finds.
_TABLES = {"dense": [1, 2, 4, 5], "sparse": [7, 1_000_000, 2_000_000_000]}


@pytest.mark.parametrize("table", _TABLES)
def test_each_id_is_found_at_its_place(table: str) -> None:
    """Whatever the order in which ids are asked for, and however often."""
    ids = Ids(np.array(_TABLES[table], dtype=np.int32))
    order = [2, 0, 1, 2, 0, 0]
    assert ids.positions(ids.values[order]).tolist() == order
    assert ids.positions(ids.values[:0]).tolist() == []


@pytest.mark.parametrize("table", _TABLES)
@pytest.mark.parametrize("stranger", [0, 3, 8, 2_000_000_001, -1])
def test_a_stranger_is_an_error(table: str, stranger: int) -> None:
    """Below, between and above the ids of the table."""
    ids = Ids(np.array(_TABLES[table], dtype=np.int32))
    asked = np.array([*_TABLES[table], stranger], dtype=np.int32)
    with pytest.raises(KeyError):
        ids.positions(asked)


def test_an_empty_table_knows_nobody() -> None:
    """Nothing is asked of it without an error, nothing else."""
    empty = Ids(np.array([], dtype=np.int32))
    assert empty.positions(np.array([], dtype=np.int32)).tolist() == []
    with pytest.raises(KeyError):
        empty.positions(np.array([1], dtype=np.int32))
