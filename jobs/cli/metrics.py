"""The command that tells Prometheus about the batch."""

from pathlib import Path

import click

from jobs.cli import day
from jobs.cli.main import emit, here
from jobs.runtime.errors import WrongUsage
from schemas.environment import Node


@click.command()
@click.option("--listen", help="serve /metrics at HOST:PORT until ended, e.g. 127.0.0.1:9108")
@click.option(
    "--out", type=click.Path(path_type=Path), help="write them once to this .prom file instead"
)
def metrics(listen: str | None, out: Path | None) -> None:
    """Expose steps, data, verdicts and model quality to Prometheus."""
    from jobs.operations import metrics as step

    if bool(listen) == bool(out):
        raise WrongUsage(
            "give one of --listen and --out", "command line", "--listen HOST:PORT or --out FILE"
        )
    _, artifacts = here()
    if out is not None:
        emit({"out": str(out), "bytes": step.run(artifacts, out, day.latest)})
        return
    host, _, port = str(listen).rpartition(":")
    if not host or not port.isdecimal():
        raise WrongUsage(f"{listen!r} is no address", "--listen", "give HOST:PORT")
    day.latest()  # a zone that is none is reported at once
    step.serve(artifacts, Node(host, int(port)), day.latest)
