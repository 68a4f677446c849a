"""The `nightshelf-edge` command: one edge replica as one process.

In: settings from the environment. Out: HTTP on a TCP address or a Unix socket. Guarantees that SIGTERM first makes the
replica not ready, then lets requests in hand finish, and ends the process within 10 s.
"""

import asyncio
import logging
import sys
from types import FrameType

import uvicorn

from schemas.environment import EnvironmentProblem
from serving.app import application
from serving.edge import Edge
from serving.settings import Settings, from_environment

_FINISH_S = 6


class _Server(uvicorn.Server):
    """Uvicorn's server, which says that it is going before it goes."""

    def __init__(self, config: uvicorn.Config, edge: Edge) -> None:
        super().__init__(config)
        self._edge = edge

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self._edge.stopping:
            super().handle_exit(sig, frame)
            return
        self._edge.stopping = True
        # For so long /readyz says no while everything is still answered, and load balancers turn away.
        asyncio.get_running_loop().call_later(
            self._edge.settings.drain_s, super().handle_exit, sig, frame
        )


def server(settings: Settings) -> uvicorn.Server:
    """Return a server that is not yet running."""
    edge = Edge(settings)
    config = uvicorn.Config(
        application(edge),
        host=settings.edge_host,
        port=settings.edge_port,
        uds=str(settings.edge_socket) if settings.edge_socket else None,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        # NGINX logs requests; uvicorn's access log costs 29 microseconds each.
        access_log=False,
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=_FINISH_S,
    )
    return _Server(config, edge)


def main() -> None:
    """Serve until told to stop; a setting that cannot be used is printed and exits with 2."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    try:
        settings = from_environment()
    except EnvironmentProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    server(settings).run()


if __name__ == "__main__":
    main()
