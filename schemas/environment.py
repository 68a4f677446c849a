"""Settings from the environment: one reader for the jobs and the edge.

In: a frozen dataclass whose fields have types and defaults, and a mapping of variables. Out: an instance.
Guarantees that a variable is named `NIGHTSHELF_` and the field's name in capitals, that an empty variable
counts as unset, that `<VARIABLE>_FILE` names a file whose first line is the value (for secrets; further lines
are valid beside it while it is exchanged), that a value of the wrong kind is an error that names the variable, and
that no error shows the password of an address.
"""

import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from schemas.addresses import Node, node_list, parsed

__all__ = ["PREFIX", "EnvironmentProblem", "Node", "node_list", "read"]

PREFIX = "NIGHTSHELF_"

T = TypeVar("T")


class EnvironmentProblem(ValueError):
    """A variable of the environment cannot be used; the message names it and what it should be."""


def read(settings: type[T], environ: Mapping[str, str]) -> T:
    """Return `settings` filled from `environ`.

    What an address says of user, password and TLS counts as the variables of those names. Raises EnvironmentProblem
    when a value is missing, unreadable or of the wrong kind, or contradicts an address.
    """
    hints = get_type_hints(settings)
    found: dict[str, Any] = {}
    implied: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]  # any dataclass type will do
        variable = PREFIX + field.name.upper()
        text = _text(variable, environ)
        if text is not None and hints[field.name] == tuple[Node, ...]:
            found[field.name], said = _addresses(variable, text)
            implied |= {f"{field.name}_{name}": value for name, value in said.items()}
        elif text is not None:
            found[field.name] = _convert(variable, text, hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise EnvironmentProblem(f"{variable} is not set")
    for name, value in implied.items():
        if found.setdefault(name, value) != value:
            raise EnvironmentProblem(
                f"an address and {PREFIX}{name.upper()} say different things; keep one of them"
            )
    return settings(**found)


def _text(variable: str, environ: Mapping[str, str]) -> str | None:
    text = environ.get(variable)
    file = environ.get(variable + "_FILE")
    if text and file:
        raise EnvironmentProblem(f"{variable} and {variable}_FILE are both set; unset one")
    if file:
        try:
            lines = Path(file).read_text(encoding="utf-8").strip().splitlines()
        except OSError as error:
            raise EnvironmentProblem(f"{variable}_FILE={file}: {error.strerror}") from error
        return lines[0].strip() if lines else None
    return text or None


def _convert(variable: str, text: str, kind: Any) -> Any:
    if isinstance(kind, types.UnionType):
        kind = next(part for part in get_args(kind) if part is not type(None))
    try:
        return _CONVERTERS[kind](text)
    except ValueError as error:
        raise EnvironmentProblem(f"{variable}={text!r}: {error}") from error


def _addresses(variable: str, text: str) -> tuple[tuple[Node, ...], dict[str, Any]]:
    try:
        return parsed(text)
    except ValueError as error:
        raise EnvironmentProblem(f"{variable}: {error}") from None


def _numbers(text: str) -> tuple[int, ...]:
    """Return different integers, ascending: in whatever order they are named, they mean the same."""
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.removeprefix("-").isdecimal():
            raise ValueError(f"{part!r} is not a whole number")
    return tuple(sorted({int(part) for part in parts}))


def _switch(text: str) -> bool:
    if text.lower() in {"1", "true", "yes", "on"}:
        return True
    if text.lower() in {"0", "false", "no", "off"}:
        return False
    raise ValueError("should be true or false")


_CONVERTERS: dict[Any, Callable[[str], Any]] = {
    str: str,
    int: int,
    float: float,
    bool: _switch,
    Path: Path,
    tuple[int, ...]: _numbers,
}
