"""Ports on loopback that a part is about to take.

In: ports by the variable that chooses them. Out: nothing. Guarantees an error that names the port, who wants it and
which variable chooses another, before anything is started.
"""

import socket
from collections.abc import Mapping, Sequence

from deploy.local.settings import HOST


class PortTaken(RuntimeError):
    """Somebody else listens on a port, or two parts want the same; the message says which and how to choose others."""


def require_free(wanted: Mapping[str, Sequence[int]]) -> None:
    """Return when every port is free and wanted once; `wanted` has a variable's ports. Raises PortTaken."""
    chosen: set[int] = set()
    for variable, ports in wanted.items():
        for port in ports:
            if port in chosen:
                raise PortTaken(
                    f"port {port} is wanted by two parts of the stack\n"
                    f"  where: {variable} and another setting\n"
                    f"  do: set {variable} so that the parts' ports do not overlap"
                )
            chosen.add(port)
            _require(port, variable)


def _require(port: int, variable: str) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise PortTaken(
                f"port {port} is in use by another program\n"
                f"  where: {HOST}:{port}\n"
                f"  do: stop that program, or set {variable} to the first of other free ports"
            ) from error
