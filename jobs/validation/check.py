"""What a suite is made of: frames and the expectations on them, as plain data.

In: nothing. Out: `Check` and `Suite`. Guarantees that a suite can be written down and read without importing
Great Expectations, which takes seconds.
"""

from dataclasses import dataclass, field
from typing import Any, Literal

import pandas as pd

#: How an observed number is shown: as it is, as a percentage, as hours.
Measure = Literal["number", "share", "hours"]

#: The values of a column that says of each row whether it is as it should be.
ALL_TRUE: dict[str, Any] = {"value_set": [True]}
NONE_AT_ALL: dict[str, Any] = {"value_set": [0]}


@dataclass(frozen=True)
class Check:
    """One expectation: its `name`, what it expects in words, and its Great Expectations type and arguments.

    `noun` is what the rows of its frame are called when the observed value is reported.
    """

    name: str
    text: str
    expectation: str
    arguments: dict[str, Any]
    noun: str = "rows"
    measure: Measure = "number"


@dataclass(frozen=True)
class Suite:
    """Checks on one frame. `key` names the column that tells an offending row apart, if there is one.

    When a check of a `gate` suite is not met, the suites after it would validate what is not there; they are
    left out.
    """

    name: str
    frame: pd.DataFrame = field(repr=False)
    checks: tuple[Check, ...]
    key: str | None = None
    gate: bool = False


def between(
    name: str,
    text: str,
    column: str,
    least: float | None,
    greatest: float | None,
    *,
    measure: Measure = "number",
) -> Check:
    """Return a check that the one value of `column`, in a frame of one row, lies within bounds."""
    arguments = {"column": column, "min_value": least, "max_value": greatest}
    return Check(name, text, "expect_column_max_to_be_between", arguments, measure=measure)


def values_in(
    name: str, text: str, column: str, arguments: dict[str, Any], noun: str = "rows"
) -> Check:
    """Return a check that every value of `column` is one of `arguments["value_set"]`."""
    expectation = "expect_column_values_to_be_in_set"
    return Check(name, text, expectation, {"column": column, **arguments}, noun)
