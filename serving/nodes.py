"""Nodes of the Redis Cluster that a replica may ask for the topology.

In: the addresses of the settings, and those that the cluster names later. Out: all of them in turn. Guarantees that
a replica outlives its settings' addresses, and that it remembers a bounded number of nodes, the newest.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, zip_longest
from typing import Any

from schemas.environment import Node

_MOST_LEARNED = 64


class KnownNodes:
    """Addresses of the settings and addresses that were learned."""

    def __init__(self, seeds: tuple[Node, ...]) -> None:
        """`seeds` are the addresses of the settings; they are never forgotten."""
        self._seeds = seeds
        #: The newest last.
        self._learned: dict[Node, None] = {}

    def __len__(self) -> int:
        """Return how many different nodes `in_turn` names before it begins again."""
        return len(self._now())

    def __contains__(self, node: Node) -> bool:
        """Say whether a node was learned."""
        return node in self._learned

    def learn(self, nodes: Iterable[Node]) -> None:
        """Remember nodes as the newest, the last one first; forget the oldest."""
        for node in nodes:
            self._learned.pop(node, None)
            self._learned[node] = None
        for node in list(self._learned)[:-_MOST_LEARNED]:
            del self._learned[node]

    def in_turn(self) -> Iterator[Node]:
        """Yield nodes without end: a seed and a learned one by turns, the newest first."""
        while True:
            yield from self._now()

    def _now(self) -> list[Node]:
        pairs = zip_longest(self._seeds, reversed(self._learned))
        return list(dict.fromkeys(node for node in chain.from_iterable(pairs) if node))


def named_by(slots: Iterable[list[Any]], asked: str) -> list[Node]:
    """Return the nodes of an answer to CLUSTER SLOTS; one that does not know its own address is called `asked`."""
    entries = chain.from_iterable(entry[2:] for entry in slots)
    return list(
        dict.fromkeys(
            Node(host.decode() if host else asked, int(port)) for host, port, *_ in entries
        )
    )
