"""Whole numbers, however a source writes them.

In: a column of a file, text or numbers. Out: int64. Every numeric column of every file goes through here, so that
`58`, `58.0` and ` 58 ` are one number everywhere. A number with an exponent is none: a spreadsheet that writes
`1.2E+09` has lost digits. Neither is one with a decimal comma or with thousands separators.
"""

import polars as pl

#: Text of an integer, also of one that an int64 does not hold.
WHOLE = r"^[+-]?\d+(\.0*)?$"
DECIMAL_COMMA = r"^\s*[+-]?\d+,\d+\s*$"
THOUSANDS = r"^\s*[+-]?\d{1,3}(,\d{3})+\s*$"

_TEXT = "text"
_CELL = pl.col(_TEXT).str.strip_chars()


def whole(values: pl.Series) -> pl.Series:
    """Return the values as int64; null where a value is missing or no integer that an int64 holds."""
    if values.dtype.is_integer():
        return values.cast(pl.Int64, strict=False)
    if values.dtype.is_float():
        return values.set(values.floor() != values, None).cast(pl.Int64, strict=False)
    text = values.cast(pl.String)
    number = text.cast(pl.Int64, strict=False)
    # Each form costs a pass over all rows, so the rarer ones are tried only on what is left.
    for plain in (_CELL.str.strip_suffix(".0"), _CELL.str.replace(r"\.0*$", "")):
        left = number.is_null() & text.is_not_null()
        if not left.any():
            break
        found = text.filter(left).alias(_TEXT).to_frame().select(plain.cast(pl.Int64, strict=False))
        number = number.scatter(left.arg_true(), found.to_series())
    return number
