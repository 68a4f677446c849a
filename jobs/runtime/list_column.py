"""Columns of lists as numpy arrays.

In: a column of lists of an Arrow table. Out: all lists end to end, and the length of each; a null list has length 0.
"""

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def flat(column: pa.ChunkedArray | pa.ListArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Return (all elements end to end, the length of each list)."""
    lists = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    values: NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return values, np.diff(lists.offsets.to_numpy()).astype(np.int64)
