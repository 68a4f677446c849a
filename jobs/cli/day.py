"""The command line asks the clock, and nothing else does: which day has begun.

In: a partition, the settings of rows. Out: the latest day that has begun. No clock enters the id of a release: a day
that has not begun is refused before anything is read, or allowed by name.
"""

from datetime import UTC, datetime

import click

from jobs.ingest.settings import RowSettings
from jobs.runtime import settings as runtime_settings
from jobs.runtime.errors import BrokenInput

future_ok = click.option(
    "--future-ok",
    is_flag=True,
    help="continue for a day that has not begun by this machine's clock",
)


def latest() -> str:
    """Return the latest day that has begun in NIGHTSHELF_TIMEZONE. Raises WrongUsage when it is no zone."""
    return runtime_settings.read_settings(RowSettings).latest_day(datetime.now(UTC))


def require_begun(partition: str, *, future_ok: bool) -> None:
    """Raise BrokenInput when `partition` lies in the future, unless that is allowed."""
    today = latest()
    if partition > today and not future_ok:
        raise BrokenInput(
            f"partition {partition} is later than today, {today}",
            "--partition, and this machine's clock",
            "give a day that has begun, or --future-ok if this one is meant; NIGHTSHELF_TIMEZONE says where days end",
        )
