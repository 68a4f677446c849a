"""Settings that change which rows a release has, or what stands in them; they enter its id.

In: the environment. Out: a frozen `RowSettings`. Guarantees that a setting which has its default leaves the id of a
release as it is, and that every other value is in it.
"""

from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from jobs.release import inputs
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import WrongUsage


@dataclass(frozen=True)
class RowSettings:
    """What changes accepted rows; read by `jobs.runtime.settings.read_settings`, see the table in jobs/README.md.

    A field is named like its variable without NIGHTSHELF_. Bounds that only stop a run do not belong here.
    """

    #: The zone whose midnights cut the source's days.
    timezone: str = "UTC"
    #: How long after the end of its day a row may say that it arrived: the source's clock is fast.
    clock_skew_s: int = 60
    #: Years of publication before it are left out of cards.
    earliest_year: int = -3000
    #: Users whose rows and `to_read` rows are left out, ascending: bots, test accounts.
    leave_out_users: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Raise WrongUsage when a value cannot be used."""
        try:
            ZoneInfo(self.timezone)
        except (KeyError, ValueError, OSError) as error:
            raise WrongUsage(
                f"NIGHTSHELF_TIMEZONE={self.timezone!r} is no time zone",
                "environment",
                "give a name of the IANA database, for example America/Los_Angeles",
            ) from error
        if self.clock_skew_s < 0:
            raise WrongUsage(
                f"NIGHTSHELF_CLOCK_SKEW_S={self.clock_skew_s} is below 0",
                "environment",
                "give a number of seconds",
            )

    def midnight(self, day: str, days_later: int = 0) -> datetime:
        """Return the first instant (UTC) of the day so many days after `day`."""
        moved = date.fromisoformat(day) + timedelta(days=days_later)
        return datetime.combine(moved, time(), ZoneInfo(self.timezone)).astimezone(UTC)

    def end(self, day: str) -> datetime:
        """Return the first instant (UTC) that is too late for a row of `day`."""
        return self.midnight(day, 1) + timedelta(seconds=self.clock_skew_s)

    def latest_day(self, now: datetime) -> str:
        """Return the latest day that has begun at `now`, by a clock that is as fast as `clock_skew_s` allows."""
        fast = now + timedelta(seconds=self.clock_skew_s)
        return str(fast.astimezone(ZoneInfo(self.timezone)).date())


DEFAULTS = RowSettings()


def as_mapping(settings: RowSettings) -> dict[str, Any]:
    """Return the settings that differ from their defaults, by name, as JSON holds them."""
    given = (
        (field.name, getattr(settings, field.name), field.default) for field in fields(settings)
    )
    return {name: value for name, value, default in given if value != default}


def of_release(folder: ReleaseFolder) -> RowSettings:
    """Return the settings of a release's rows; a release of before there were any has the defaults.

    Raises BrokenInput when extract has not finished.
    """
    return RowSettings(**inputs.read(folder).get("row_settings", {}))
