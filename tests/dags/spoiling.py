"""Spoils a drop, as sources do.

In: a file of a drop and the name of a fault. Out: the same file, spoilt, for the length of a block. Guarantees that the
drop is whole again afterwards.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.dags.places import JOBS

#: Programs of the jobs environment, which reads parquet; the tests' own does not.
FAULTS = {
    "a tenth of the rows is broken": """
import sys, polars as pl
drop = pl.read_parquet(sys.argv[1]).with_row_index("i")
tenth = pl.when(pl.col("i") % 10 == 0).then(pl.lit(11)).otherwise(pl.col("rating")).alias("rating")
drop.with_columns(tenth).drop("i").write_parquet(sys.argv[1])
""",
    "the drop is empty": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).clear().write_parquet(sys.argv[1])
""",
    "a column has another name": """
import sys, polars as pl
pl.read_parquet(sys.argv[1]).rename({"rating": "stars"}).write_parquet(sys.argv[1])
""",
}


@contextmanager
def spoilt(drop: Path, fault: str, scratch: Path) -> Iterator[None]:
    """Spoil the file for the length of the block; a whole copy waits in `scratch`."""
    kept = shutil.copy(drop, scratch / "kept.parquet")
    try:
        program = [str(JOBS / "bin" / "python"), "-c", FAULTS[fault], str(drop)]
        subprocess.run(program, check=True)
        yield
    finally:
        shutil.move(kept, drop)
