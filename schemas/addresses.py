"""Addresses of Redis Cluster nodes as text: what a variable may say, and how a message names a node.

In: `host:port`, `[::1]:7001`, `redis://` and `rediss://` addresses, comma-separated. Out: nodes, and the user, password
and TLS that the addresses say. Guarantees that no error and no printed node holds a user or password.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

_DEFAULT_PORT, _GREATEST_PORT = 6379, 65_535
_FORMS = "host:port, [IPv6]:port or redis[s]://[user:password@]host[:port]"
_ADDRESS = re.compile(
    r"(?:(?P<scheme>rediss?)://)?(?:(?P<who>.*)@)?"
    r"(?:\[(?P<v6>[0-9a-f:.%]+)\]|(?P<host>[^\[\]/@?#\s]+?))(?::(?P<port>[0-9]+))?(?(scheme)(?:/0?)?)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Node:
    """An address of a Redis Cluster node."""

    host: str
    port: int

    def __str__(self) -> str:
        """Return host:port, with brackets around an IPv6 host."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def node_list(nodes: Iterable[Node]) -> str:
    """Return nodes as a variable holds them: host:port, comma-separated."""
    return ",".join(map(str, nodes))


def parsed(text: str) -> tuple[tuple[Node, ...], dict[str, Any]]:
    """Return nodes, and what the addresses say of `user`, `password` and `tls`.

    Raises ValueError for text that is no address, and for addresses that contradict each other.
    """
    nodes, implied = [], dict[str, Any]()
    parts = text.split(",")
    for number, part in enumerate(parts, start=1):
        node, said = _address(part.strip())
        if node is None:
            # A part of an address with a password may be the password.
            shown = f"address {number} of {len(parts)}" if "@" in text else repr(part.strip())
            raise ValueError(f"{shown} is not {_FORMS}")
        for name, value in said.items():
            if implied.setdefault(name, value) != value:
                raise ValueError(f"the addresses say different things of {name}")
        nodes.append(node)
    return tuple(nodes), implied


def _address(text: str) -> tuple[Node | None, dict[str, Any]]:
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None, {}
    scheme, host = found["scheme"], found["v6"] or found["host"]
    port = int(found["port"] or (_DEFAULT_PORT if scheme else 0))
    if not 0 < port <= _GREATEST_PORT or (scheme and found["host"] and ":" in host):
        return None, {}
    user, _, password = (found["who"] or "").partition(":")
    said: dict[str, Any] = {"user": unquote(user), "password": unquote(password)}
    said = {name: value for name, value in said.items() if value}
    if scheme:
        said["tls"] = scheme.lower() == "rediss"
    return Node(host, port), said
