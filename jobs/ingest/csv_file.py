"""One csv file, read as text by column names.

In: a path and the names of columns. Out: a polars frame whose cells are text. The delimiter (`,` `;` tab `|`, or what a
line `sep=` says), the order of columns, the case of their names and spaces around them, and empty lines at the end
make no difference. A file that is cut off or malformed, lacks a needed column or has it twice is refused with its name
and, where there is one, the line; `plain_text` says what else is read and refused.
"""

import logging
from collections import Counter
from pathlib import Path

import polars as pl

from jobs.ingest import csv_faults
from jobs.ingest.csv_layout import CsvFile, open_csv
from jobs.runtime.errors import BrokenInput

_log = logging.getLogger(__name__)


def header(path: Path, encoding: str | None = None) -> list[str]:
    """Return the column names in lower case, without spaces around them. Raises BrokenInput as `read` does."""
    return list(open_csv(path, encoding).names)


def read(
    path: Path,
    columns: tuple[str, ...],
    encoding: str | None = None,
    *,
    numeric: tuple[str, ...] = (),
) -> pl.DataFrame:
    """Return the named columns as text, in file order; a missing cell is null.

    Raises BrokenInput when the file cannot be read in full, lacks a column or has one twice, or when most numbers of
    a `numeric` column have a comma in them (fewer are bad cells like others). A last line without an end is read, and
    said in the log: whether its last cell is complete cannot be known.
    """
    file = open_csv(path, encoding)
    csv_faults.require_columns(file, columns)
    frame = _parsed(file)
    csv_faults.require_no_commas(file, frame.select(numeric))
    if not file.content.endswith(b"\n"):
        csv_faults.require_complete(file, frame)
        _log.warning("%s: the last line has no end; it is read as it stands", path)
    return frame.select(columns)


def count_rows(path: Path, encoding: str | None = None) -> int:
    """Return the number of rows after the header. Raises BrokenInput as `read` does."""
    return _parsed(open_csv(path, encoding)).height


def _parsed(file: CsvFile) -> pl.DataFrame:
    fault = csv_faults.fault(file) if file.content.count(b'"') % 2 else None
    try:
        if fault is None:
            return _frame(file, ragged=False)
    except pl.exceptions.PolarsError:
        fault = csv_faults.fault(file)
    if fault is not None:
        raise fault
    try:
        # Nothing but empty cells stands after the last column.
        return _frame(file, ragged=True)
    except pl.exceptions.PolarsError as error:
        raise BrokenInput(
            f"{file.path.name} is no csv file: {str(error).splitlines()[0]}",
            str(file.path),
            "fetch it again, or write it again with quotes around every text",
        ) from error


def _frame(file: CsvFile, *, ragged: bool) -> pl.DataFrame:
    frame = pl.read_csv(
        file.content,
        infer_schema=False,
        separator=file.separator,
        truncate_ragged_lines=ragged,
    )
    if len(frame.columns) != len(file.names):
        raise BrokenInput(
            f"the header of {file.path.name} cannot be read: {', '.join(file.names)}",
            f"{file.path}:{file.line}",
            "write the names of the columns without quotes",
        )
    once = Counter(file.names)
    # polars has names of its own for columns without one, and for the second of a name.
    pairs = zip(frame.columns, file.names, strict=True)
    return frame.rename({own: name for own, name in pairs if name and once[name] == 1})
