"""Are two sets of lists the same, as closely as BLAS kernels of other processors allow?

In: lists as tests/golden/kinds.py gives them. Out: what differs, in words. Rows are compared to the byte; a score may
differ by 1e-4 or by one step of the 16-bit float that it is stored as; books may change places only within that.
"""

from typing import Any

import numpy as np

_SCORE = 1e-4


def differences(recorded: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Return what differs, a line each."""
    found = []
    for part in sorted(recorded.keys() | now.keys()):
        old, new = recorded.get(part, {}), now.get(part, {})
        for name in sorted(old.keys() | new.keys()):
            why = _difference(part, old.get(name), new.get(name))
            if why:
                found.append(f"{part} {name!r}: {why}")
    return found


def _difference(part: str, old: str | None, new: str | None) -> str:
    if old is None or new is None:
        return "is new" if old is None else "is gone"
    if part == "rows":
        return "" if old == new else "the rows differ"
    before, after = _parsed(old), _parsed(new)
    if before[0] != after[0]:
        return f"{after[0]} instead of {before[0]}"
    if dict(before[1]).keys() != dict(after[1]).keys():
        return "other books"
    scores = dict(before[1])
    for place, ((_, expected), (book, score)) in enumerate(zip(before[1], after[1], strict=True)):
        close = max(_SCORE, float(np.spacing(np.float16(expected))))
        if abs(scores[book] - score) > close or abs(expected - score) > close:
            return f"at place {place + 1} book {book} with {score} instead of {expected}"
    return ""


def _parsed(text: str) -> tuple[str, list[tuple[int, float]]]:
    """Return the source of a list, "" where it has none, and its (book, score) pairs."""
    words = text.split()
    source = words.pop(0) if words and ":" not in words[0] else ""
    pairs = (word.split(":") for word in words)
    return source, [(int(book), float(score)) for book, score in pairs]
