"""The jobs' settings, read from the environment here and nowhere else.

In: variables with the prefix `NIGHTSHELF_`. Out: one frozen `Settings`. Guarantees that every default is
written once and that a bad value is refused with its variable's name.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from jobs.runtime.errors import WrongUsage
from schemas import keys
from schemas.environment import EnvironmentProblem, Node, read

T = TypeVar("T")

# Braces would put a complete release on one shard, other signs have a meaning in patterns of keys.
_NAMESPACE = re.compile(r"[A-Za-z0-9._-]+")
_LEAST_LEASE_S = 3


@dataclass(frozen=True)
class Settings:
    """Settings of the jobs; see the table in jobs/README.md."""

    artifacts: Path = Path("artifacts")
    redis: tuple[Node, ...] = (Node("127.0.0.1", 7001),)
    redis_user: str | None = None
    #: Never part of a printed `Settings`.
    redis_password: str | None = field(default=None, repr=False)
    redis_tls: bool = False
    #: Who signed the certificates of Redis; without it whom this machine trusts.
    redis_ca: Path | None = None
    namespace: str = keys.DEFAULT_NAMESPACE
    #: Whose shipped settings are used without `model_settings`; with them, what they must be for.
    engine: str | None = None
    model_settings: Path | None = None
    #: The shelf rules; None for those that ship.
    rules: Path | None = None
    max_reject_share: float = 0.05
    #: The file by which the source says that a day's drop is complete; "" for none.
    drop_marker: str = ""
    load_rate: int = 0
    retire_grace_s: int = 60
    lease_s: int = 30
    keep_releases: int = 3
    run_by: str = "nightshelf"


def from_environment(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings. Raises WrongUsage when a variable cannot be used."""
    settings = read_settings(Settings, environ)
    if "://" in str(settings.artifacts) or ":/" in str(settings.artifacts)[:12]:
        raise WrongUsage(
            "NIGHTSHELF_ARTIFACTS is not a folder",
            str(settings.artifacts),
            "name a folder (mount the object store as one)",
        )
    if not _NAMESPACE.fullmatch(settings.namespace):
        raise WrongUsage(
            f"NIGHTSHELF_NAMESPACE={settings.namespace!r} cannot be part of a key",
            "environment",
            "use letters, digits, dots, dashes and underscores",
        )
    if "/" in settings.drop_marker or settings.drop_marker in {".", ".."}:
        raise WrongUsage(
            f"NIGHTSHELF_DROP_MARKER={settings.drop_marker!r} is not a file's name",
            "environment",
            "give the name of the file alone, such as _SUCCESS; it lies in the day's folder",
        )
    if settings.lease_s < _LEAST_LEASE_S:
        raise WrongUsage(
            f"NIGHTSHELF_LEASE_S={settings.lease_s} is too short to be renewed in time",
            "environment",
            f"give at least {_LEAST_LEASE_S} seconds",
        )
    return settings


def read_settings(kind: type[T], environ: Mapping[str, str] | None = None) -> T:
    """Return the settings of one step, a frozen dataclass. Raises WrongUsage when a variable cannot be used."""
    try:
        return read(kind, os.environ if environ is None else environ)
    except EnvironmentProblem as problem:
        raise WrongUsage(
            str(problem), "environment", "correct or unset the variable and run again"
        ) from problem
