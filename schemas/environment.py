"""Settings from the environment: one reader for the jobs and the edge.

In: a frozen dataclass whose fields have types and defaults, and a mapping of variables. Out: an instance.
Guarantees that a variable is named `NIGHTSHELF_` and the field's name in capitals, that an empty variable
counts as unset, that `<VARIABLE>_FILE` names a file whose first line is the value (for secrets; further lines
are valid beside it while it is exchanged), and that a value of the wrong kind is an error that names the variable.
"""

import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

PREFIX = "NIGHTSHELF_"

_GREATEST_PORT = 65_535

T = TypeVar("T")


class EnvironmentProblem(ValueError):
    """A variable of the environment cannot be used; the message names it and what it should be."""


@dataclass(frozen=True)
class Node:
    """An address of a Redis Cluster node."""

    host: str
    port: int


def node_list(nodes: Iterable[Node]) -> str:
    """Return nodes as a variable holds them: host:port, comma-separated."""
    return ",".join(f"{node.host}:{node.port}" for node in nodes)


def read(settings: type[T], environ: Mapping[str, str]) -> T:
    """Return `settings` filled from `environ`.

    Raises EnvironmentProblem when a value is missing, unreadable or of the wrong kind.
    """
    hints = get_type_hints(settings)
    found: dict[str, Any] = {}
    for field in fields(settings):  # type: ignore[arg-type]  # any dataclass type will do
        variable = PREFIX + field.name.upper()
        text = _text(variable, environ)
        if text is not None:
            found[field.name] = _convert(variable, text, hints[field.name])
        elif field.default is MISSING and field.default_factory is MISSING:
            raise EnvironmentProblem(f"{variable} is not set")
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
    converter = _nodes if get_origin(kind) is tuple else _CONVERTERS[kind]
    try:
        return converter(text)
    except ValueError as error:
        raise EnvironmentProblem(f"{variable}={text!r}: {error}") from error


def _nodes(text: str) -> tuple[Node, ...]:
    nodes = []
    for part in text.split(","):
        host, _, port = part.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) <= _GREATEST_PORT:
            raise ValueError(f"{part.strip()!r} is not host:port")
        nodes.append(Node(host, int(port)))
    return tuple(nodes)


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
}
