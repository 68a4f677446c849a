"""Observed values in words.

In: a check and what Great Expectations said about it. Out: short texts for people. Guarantees that numbers are grouped
in thousands and that no value from the data is cut off without a sign.
"""

from typing import Any

from jobs.validation.check import Check, Measure

_LONGEST = 80


def number(value: float, measure: Measure = "number") -> str:
    """Return a number as text: 5,976,479; 69.2 %; 3.5 h."""
    if measure == "share":
        return f"{value:.1%}".replace("%", " %")
    text = f"{value:,.1f}".removesuffix(".0")
    return f"{text} h" if measure == "hours" else text


def percent(share: float) -> str:
    """Return a bound as text, without needless digits: 5 %, 2.5 %."""
    return f"{share * 100:g} %"


def observed(check: Check, result: dict[str, Any]) -> str:
    """Return what was observed; `result` is the `result` of a Great Expectations outcome."""
    if "unexpected_count" in result:
        wrong, total = result["unexpected_count"], result["element_count"]
        text = "none" if wrong == 0 else number(wrong)
        return f"{text} of {number(total)} {check.noun}"
    value = result["observed_value"]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shortened(str(value))
    text = number(value, check.measure)
    counted = check.expectation == "expect_table_row_count_to_be_between"
    return f"{text} {check.noun}" if counted else text


def examples(result: dict[str, Any], key: str | None) -> tuple[str, ...]:
    """Return different offending values, with the `key` of their row where it is known."""
    rows = result.get("partial_unexpected_index_list")
    if rows and key is not None:
        return tuple(dict.fromkeys(_value(row) for row in rows))
    values = result.get("partial_unexpected_list") or ()
    return tuple(dict.fromkeys(_value(value) for value in values))


def shortened(text: str) -> str:
    """Return `text`, cut with an ellipsis when it is long."""
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {_value(part)}" for name, part in value.items())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return shortened(repr(value) if isinstance(value, str) else str(value))
