"""What is wrong with a csv file, with the line.

In: a file as it is laid out, and its rows. Out: BrokenInput, raised or returned. It says which row has too many fields
or too few, a quote that stays open, a decimal comma, and which column is missing or given twice.
"""

import csv
import io
from collections import Counter
from pathlib import Path

import polars as pl

from jobs.ingest import numbers
from jobs.ingest.csv_layout import CsvFile
from jobs.runtime.errors import BrokenInput

#: Rows that are looked at for a decimal comma.
_LOOKED_AT = 10_000


def require_columns(file: CsvFile, columns: tuple[str, ...]) -> None:
    """Return if the file has each column once."""
    where = f"{file.path}:{file.line}"
    counts = Counter(file.names)
    missing = [column for column in columns if column not in counts]
    if missing:
        raise BrokenInput(
            f"{file.path.name} has no column {', '.join(missing)} (it has {', '.join(file.names)})",
            where,
            "name the columns in the first line as upstream does: " + ", ".join(columns),
        )
    twice = [column for column in columns if counts[column] > 1]
    if twice:
        raise BrokenInput(
            f"{file.path.name} has the column {', '.join(twice)} more than once",
            where,
            "remove or rename all but the right one",
        )


def require_no_commas(file: CsvFile, numeric: pl.DataFrame) -> None:
    """Return if not most of a column's numbers have a comma in them; fewer are bad cells like others."""
    for cells in numeric.head(_LOOKED_AT):
        found = cells.str.contains(f"{numbers.DECIMAL_COMMA}|{numbers.THOUSANDS}").fill_null(
            value=False
        )
        if 2 * int(found.sum()) <= cells.len():
            continue
        row = int(found.arg_max() or 0)
        line, text = file.line + row + 1, f"the field {cells.name}: {cells[row].strip()}"
        if cells.filter(found).str.contains(numbers.THOUSANDS).all():
            raise BrokenInput(
                f"{file.path.name}: thousands separators stand in {text} (line {line})",
                f"{file.path}:{line}",
                "export the numbers without thousands separators",
            )
        raise _decimal_comma(file.path, line, text)


def require_complete(file: CsvFile, frame: pl.DataFrame) -> None:
    """Return if the last line, which has no end, has all of its fields."""
    if frame.is_empty() or frame.row(-1)[-1] is not None:
        return
    if file.content.rstrip(b" \r").endswith(file.separator.encode()):
        return
    line = file.line + file.content.count(b"\n")
    raise BrokenInput(
        f"{file.path.name} is cut off: line {line} has no end and fewer fields than the header",
        f"{file.path}:{line}",
        "fetch it again; if the file is complete, complete this line",
    )


def fault(file: CsvFile) -> BrokenInput | None:
    """Return what is wrong with the first row that has more cells than the header, or with an open quote."""
    rows = csv.reader(
        io.StringIO(file.content.decode(), newline=""), delimiter=file.separator, strict=True
    )
    width, line = len(file.names), file.line
    try:
        for cells in rows:
            if any(cell.strip() for cell in cells[width:]):
                return _too_wide(file, cells, line)
            line = file.line + rows.line_num
    except csv.Error as error:
        return BrokenInput(
            f"{file.path.name} is no csv file, or is cut off: {error} in the row that begins in line {line}",
            f"{file.path}:{line}",
            "fetch it again, or repair the quotes of this line",
        )
    return None


def _too_wide(file: CsvFile, cells: list[str], line: int) -> BrokenInput:
    width = len(file.names)
    # One number of the row, or all of them.
    split = len(cells) - width in (1, width) and all(cell.strip().isdecimal() for cell in cells)
    if file.separator == "," and split:
        return _decimal_comma(file.path, line, f"a field: {','.join(cells)}")
    return BrokenInput(
        f"{file.path.name} is no csv file: line {line} has {len(cells)} fields, the header {width}",
        f"{file.path}:{line}",
        "fetch it again, or repair the quotes and delimiters of this line",
    )


def _decimal_comma(path: Path, line: int, field: str) -> BrokenInput:
    return BrokenInput(
        f"{path.name}: a decimal comma splits {field} (line {line})",
        f"{path}:{line}",
        "export the numbers with a decimal point, or as whole numbers",
    )
