"""Services of Kubernetes on loopback: addresses that stay, in front of nodes whose own addresses change.

In: pairs of addresses. Out: forwarders, one thread for each connection and way. A node of Redis behind one is told the
Service's address and listens on its own, as in a pod.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

Address = tuple[str, int]


@contextmanager
def service(front: Address, backs: list[Address]) -> Iterator[None]:
    """Forward what comes to `front` to the one address in `backs`, which may be exchanged while this runs."""
    with socket.create_server(front) as server:
        stop = threading.Event()

        def accept() -> None:
            while not stop.is_set():
                try:
                    here, _ = server.accept()
                except OSError:
                    return
                threading.Thread(target=_pass_on, args=(here, backs[0]), daemon=True).start()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            # Wakes the one that waits in accept().
            with contextlib.suppress(OSError), socket.create_connection(front, timeout=1):
                pass
            thread.join()


def _pass_on(here: socket.socket, back: Address) -> None:
    with here:
        try:
            there = socket.create_connection(back, timeout=5)
        except OSError:
            return
        there.settimeout(None)
        with there:
            other = threading.Thread(target=_copy, args=(there, here), daemon=True)
            other.start()
            _copy(here, there)
            other.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65_536):
            target.sendall(data)
    except OSError:
        pass
    finally:
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
