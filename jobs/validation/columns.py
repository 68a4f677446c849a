"""The first suite of every table: the columns, their types, and that nothing is missing.

In: a parquet file and the schema it should have. Out: the table, and a suite on a frame with one row a column.
Guarantees that types and missing values are those of the file itself, before any conversion.
"""

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from jobs.runtime.table_files import read_arrow
from jobs.validation.check import NONE_AT_ALL, Check, Suite, values_in

_COLUMN = "column"
_TYPE = "type"
_EXPECTED = "expected_type"
_MISSING = "missing_values"
_ABSENT = "absent"


def load(path: Path, step: str, names: tuple[str, ...] | None = None) -> pa.Table:
    """Return the table in `path`, or only its columns `names`.

    Raises BrokenInput when the file is not there or no parquet file.
    """
    return read_arrow(path, step, names)


def suite(name: str, table: pa.Table, schema: pa.Schema) -> Suite:
    """Return the gate suite that `table` has exactly the columns and types of `schema` and no missing values."""
    names = [*schema.names, *(name for name in table.schema.names if name not in schema.names)]
    frame = pd.DataFrame(
        {
            _COLUMN: names,
            _TYPE: [_type(table.schema, column) for column in names],
            _EXPECTED: [_type(schema, column) for column in names],
            _MISSING: [_missing(table, schema, column) for column in names],
        }
    )
    return Suite(
        name=f"{name} columns",
        frame=frame,
        checks=(
            Check(
                f"{name}_columns",
                f"The {name} have their {len(schema)} columns, each of its type, and no others",
                "expect_column_pair_values_to_be_equal",
                {"column_A": _TYPE, "column_B": _EXPECTED},
                noun="columns differ",
            ),
            values_in(
                f"{name}_complete",
                f"No value of the {name} is missing where one is needed",
                _MISSING,
                NONE_AT_ALL,
                noun="columns have gaps",
            ),
        ),
        key=_COLUMN,
        gate=True,
    )


def _type(schema: pa.Schema, column: str) -> str:
    return _formatted(schema.field(column).type) if column in schema.names else _ABSENT


def _formatted(kind: pa.DataType) -> str:
    """Return a type's name; what a list calls its elements ("item" or "element") depends on the writer."""
    return f"list of {kind.value_type}" if pa.types.is_list(kind) else str(kind)


def _missing(table: pa.Table, schema: pa.Schema, column: str) -> int:
    """Count the nulls of a column that must have none, those inside its lists included."""
    if column not in schema.names or column not in table.schema.names:
        return 0
    values = table[column]
    if schema.field(column).nullable:
        return 0
    inside = pc.list_flatten(values).null_count if pa.types.is_list(values.type) else 0
    return int(values.null_count + inside)
