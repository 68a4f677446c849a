"""The `nightshelf-edge` command: one edge replica as one process, or as several behind one address.

In: settings from the environment. Out: HTTP on a TCP address or a Unix socket. Guarantees that SIGTERM first makes the
replica not ready, then lets requests in hand finish, and ends the process within 10 s; that a worker which dies is
replaced; and that a scrape sees all workers (serving/workers.py).
"""

import asyncio
import logging
import os
import signal
import sys
import tempfile
import time
from types import FrameType
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from schemas import tracing
from schemas.environment import EnvironmentProblem
from schemas.tracing import Tracing
from serving.app import application
from serving.edge import Edge
from serving.hotpath import request_id
from serving.onewrite import OneWrite
from serving.settings import Settings, from_environment
from serving.tracing import LOG_FORMAT, Ids, Traced, TracedEdge

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


class _Workers(Multiprocess):
    """Uvicorn's supervisor of workers, which has them say that they go before they go."""

    def __init__(self, config: uvicorn.Config, sockets: list[Any], drain_s: float) -> None:
        super().__init__(config, sockets)
        self._drain_s = drain_s

    def handle_term(self) -> None:
        for process in self.processes:
            if process.pid is not None:
                os.kill(process.pid, signal.SIGUSR1)
        time.sleep(self._drain_s)
        super().handle_term()


def server(settings: Settings) -> uvicorn.Server:
    """Return a server of one process that is not yet running."""
    edge, app = _observed(settings)
    return _Server(_config(settings, app), edge)


def worker() -> ASGIApp:
    """Return the application of one of several workers; uvicorn calls this in the worker's process."""
    edge, app = _observed(from_environment())

    def going(_sig: int, _frame: FrameType | None) -> None:
        edge.stopping = True

    signal.signal(signal.SIGUSR1, going)
    return app


def _observed(settings: Settings) -> tuple[Edge, ASGIApp]:
    """Return an edge and its application, with spans if they are wanted, and with ids in its log lines."""
    found = tracing.from_environment("nightshelf-edge", os.environ)
    _log_with_ids(found)
    if found is None:
        edge = Edge(settings)
        return edge, application(edge)
    edge = TracedEdge(settings, found)
    return edge, Traced(application(edge), found)


def _log_with_ids(found: Tracing | None) -> None:
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(LOG_FORMAT))
    handler.addFilter(Ids(found, request_id))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


def run_workers(settings: Settings) -> None:
    """Serve with several processes until told to stop."""
    config = _config(settings, "serving.server:worker", workers=settings.edge_workers)
    with tempfile.TemporaryDirectory(prefix="nightshelf-edge-") as folder:
        os.environ["NIGHTSHELF_EDGE_WORKERS_FOLDER"] = folder
        _Workers(config, [config.bind_socket()], settings.drain_s).run()
        if settings.edge_socket is not None:
            settings.edge_socket.unlink(missing_ok=True)


def _config(settings: Settings, app: ASGIApp | str, workers: int = 1) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=workers,
        host=settings.edge_host,
        port=settings.edge_port,
        uds=str(settings.edge_socket) if settings.edge_socket else None,
        loop="uvloop",
        http=OneWrite,
        ws="none",
        lifespan="on",
        # Nothing here asks who the client is.
        proxy_headers=False,
        # NGINX logs requests; uvicorn's access log costs 29 microseconds each.
        access_log=False,
        log_level="warning",
        # Its lines go to the root logger, with ids.
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=_FINISH_S,
    )


def main() -> None:
    """Serve until told to stop; a setting that cannot be used is printed and exits with 2."""
    try:
        settings = from_environment()
        if settings.edge_workers > 1:
            run_workers(settings)
        else:
            server(settings).run()
    except EnvironmentProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
