"""Commands that load releases and change which one is served: publish, activate, rollback, canary, retire, releases."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from jobs.cli import day
from jobs.cli.main import emit, here
from jobs.release import references

if TYPE_CHECKING:
    from jobs.store.completeness import Check, Completeness

_release = click.option("--release", required=True, help="the release id")
_by = click.option("--by", required=True, help="who decides this")
_reason = click.option("--reason", required=True, help="why")
_check = click.option(
    "--check",
    "how",
    type=click.Choice(["totals", "full"]),
    default="totals",
    show_default=True,
    help="before the pointer moves: count the values in Redis, or compare each with the files",
)
_incomplete_ok = click.option(
    "--incomplete-ok", is_flag=True, help="move the pointer even if values are missing in Redis"
)


def _checked(how: str, *, incomplete_ok: bool) -> "Check":
    from jobs.store.completeness import Check

    return Check(full=how == "full", incomplete_ok=incomplete_ok)


def _report(found: "Completeness") -> None:
    """Say on standard error what a release lacked before the pointer moved."""
    if found.repaired_values:
        print(f"{found.repaired_values} values were loaded again from the files", file=sys.stderr)
    if found.for_journal:
        missing = "an unknown number of" if found.missing_values is None else found.missing_values
        print(
            f"warning: {missing} values, {found.missing_keys} complete keys are missing: up to "
            f"{found.users_falling_back} users get a fallback",
            file=sys.stderr,
        )


@click.command()
@_release
@click.option(
    "--rate", type=click.IntRange(min=0), help="the most values a second; 0 means no limit"
)
@click.option(
    "--unsafe-store-ok", is_flag=True, help="load also where Redis evicts other lists to make room"
)
def publish(release: str, rate: int | None, *, unsafe_store_ok: bool) -> None:
    """Load a release beside the live one, read it back, and mark it verified."""
    from jobs.pipeline import publish as step

    settings, artifacts = here()
    found = step.run(
        artifacts.release(release), settings, rate=rate, unsafe_store_ok=unsafe_store_ok
    )
    for warning in found.warnings:
        print(f"warning: {warning}; see `nightshelf check-store`", file=sys.stderr)
    if found.repaired_values:
        print(
            f"{release} had lost {found.repaired_values} values in Redis; they are there again",
            file=sys.stderr,
        )
    emit(found)


@click.command()
@_release
@click.option("--approved-by", help="who lets a release on hold go live")
@click.option("--reason", help="why it may go live")
@click.option("--force", is_flag=True, help="activate also when a newer partition is live")
@_check
@_incomplete_ok
def activate(
    release: str,
    approved_by: str | None,
    reason: str | None,
    how: str,
    *,
    force: bool,
    incomplete_ok: bool,
) -> None:
    """Make a verified release the live one."""
    from jobs.pipeline import activate as step
    from jobs.store.activation import Approval

    settings, artifacts = here()
    approval = Approval.of(approved_by, reason)
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = step.run(
        artifacts,
        release,
        settings,
        approval=approval,
        force=force,
        check=check,
        today=day.latest(),
    )
    _report(found.completeness)
    emit(found)


@click.command()
@click.option("--to", help="the release to go back to; the previous one if not given")
@_by
@_reason
@_check
@_incomplete_ok
def rollback(to: str | None, by: str, reason: str, how: str, *, incomplete_ok: bool) -> None:
    """Go back to an earlier release and quarantine the lists of the current one."""
    from jobs.operations import rollback as step

    settings, artifacts = here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = step.run(artifacts, settings, to=to, by=by, reason=reason, check=check)
    _report(found.completeness)
    emit(found)


@click.command()
def retire() -> None:
    """Remove old releases from Redis; files stay."""
    from jobs.pipeline import retire as step

    emit(step.run(here()[0]))


@click.command()
@click.option("--history", is_flag=True, help="print every journal entry, oldest first")
@click.option(
    "--reference-for",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="print the release that a run of this day is compared with",
)
def releases(reference_for: datetime | None, *, history: bool) -> None:
    """Show what is live, previous, loaded and quarantined."""
    settings, artifacts = here()
    if reference_for is not None and not history:
        # A run that waits for its turn asks this again and again: no Redis, so no client of it.
        chosen = references.choose(artifacts, str(reference_for.date()))
        emit({"reference": chosen.release or "none", "missing": list(chosen.missing)})
        return

    from jobs.operations import releases as step
    from jobs.store.registry import WAYS_OUT

    if history:
        entries = step.history(artifacts)
        for entry in entries:
            print(step.as_text(entry), file=sys.stderr)
        emit({"journal": entries})
    else:
        found = step.run(artifacts, settings, day.latest())
        if found.live_from_future:
            print(
                f"warning: {found.live} is live and from the future; releases of the days until then replace it",
                file=sys.stderr,
            )
        for name, lost in found.missing.items():
            if any(lost.values()):
                print(
                    f"warning: {name} lacks {lost['keys']} complete keys in Redis: up to {lost['users']} users would "
                    f"get a fallback; `nightshelf publish --release {name}` loads them again",
                    file=sys.stderr,
                )
        if found.another_history:
            print(f"warning: {found.another_history}\n  do: {WAYS_OUT}", file=sys.stderr)
        emit(found)


@click.group()
def canary() -> None:
    """Serve a second release to a share of the users."""


@canary.command()
@_release
@click.option(
    "--share", type=float, required=True, help="share of the users, above 0 and at most 1"
)
@_by
@_reason
@_check
@_incomplete_ok
def start(
    release: str, share: float, by: str, reason: str, how: str, *, incomplete_ok: bool
) -> None:
    """Start a canary, or change its share."""
    from jobs.operations import canary

    settings, artifacts = here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = canary.start(
        artifacts, settings, release=release, share=share, by=by, reason=reason, check=check
    )
    _report(found.completeness)
    emit(found)


@canary.command()
@click.option("--quarantine", is_flag=True, help="quarantine its lists")
@_by
@_reason
def stop(by: str, reason: str, *, quarantine: bool) -> None:
    """End the canary; all users get the live release again."""
    from jobs.operations import canary

    settings, artifacts = here()
    emit(canary.stop(artifacts, settings, by=by, reason=reason, quarantine=quarantine))


@canary.command()
@_by
@_reason
@_check
@_incomplete_ok
def promote(by: str, reason: str, how: str, *, incomplete_ok: bool) -> None:
    """Make the canary the live release."""
    from jobs.operations import canary

    settings, artifacts = here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = canary.promote(
        artifacts, settings, by=by, reason=reason, check=check, today=day.latest()
    )
    _report(found.completeness)
    emit(found)
