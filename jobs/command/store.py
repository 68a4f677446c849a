"""Commands about Redis and the releases in it, from publish to check-store."""

import sys
from datetime import datetime
from typing import TYPE_CHECKING

import click

from jobs.command import day
from jobs.command.line import emit
from jobs.release import references
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings
from jobs.runtime.errors import GateRefused, TryLater, WrongUsage
from jobs.runtime.settings import Settings

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
    "--incomplete-ok", is_flag=True, help="move the pointer also when values are missing in Redis"
)


def _checked(how: str, *, incomplete_ok: bool) -> "Check":
    from jobs.store.completeness import Check

    return Check(full=how == "full", incomplete_ok=incomplete_ok)


def _tell(found: "Completeness") -> None:
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


def _here() -> tuple[Settings, Artifacts]:
    settings = runtime_settings.from_environment()
    return settings, Artifacts(settings.artifacts)


@click.command()
@_release
@click.option("--rate", type=click.IntRange(min=0), help="lists a second at most; 0 is no limit")
@click.option(
    "--unsafe-store-ok", is_flag=True, help="also where Redis throws out other lists to make room"
)
def publish(release: str, rate: int | None, *, unsafe_store_ok: bool) -> None:
    """Load a release beside the live one, read it back, and mark it verified."""
    from jobs import publish as step

    settings, artifacts = _here()
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
@click.option("--force", is_flag=True, help="also over a newer partition")
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
    from jobs import activate as step

    if bool(approved_by) != bool(reason):
        raise WrongUsage(
            "an approval needs both a person and a reason",
            "command line",
            "give --approved-by and --reason",
        )
    settings, artifacts = _here()
    approval = step.Approval(approved_by, reason) if approved_by and reason else None
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
    _tell(found.completeness)
    emit(found)


@click.command()
@click.option("--to", help="the release to go back to; the previous one if not given")
@_by
@_reason
@_check
@_incomplete_ok
def rollback(to: str | None, by: str, reason: str, how: str, *, incomplete_ok: bool) -> None:
    """Go back to an earlier release and quarantine the lists that are left."""
    from jobs import rollback as step

    settings, artifacts = _here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = step.run(artifacts, settings, to=to, by=by, reason=reason, check=check)
    _tell(found.completeness)
    emit(found)


@click.command()
def retire() -> None:
    """Remove releases from Redis that nobody reads any more; files stay."""
    from jobs import retire as step

    emit(step.run(_here()[0]))


@click.command()
def restore() -> None:
    """Make a Redis Cluster that lost anything whole from the journal and the release files."""
    from jobs import restore as step

    settings, artifacts = _here()
    emit(step.run(artifacts, settings))


@click.command()
@click.option("--adopt", is_flag=True, help="keep the journal on disk and take the store over")
@click.option("--by", help="who takes the store over")
@click.option("--reason", help="why")
@click.option("--dry-run", is_flag=True, help="say what would be done, change nothing")
def reconcile(by: str | None, reason: str | None, *, adopt: bool, dry_run: bool) -> None:
    """Make one history of two: take the entries that Redis holds, or adopt the store with this journal.

    What gives way is set aside in a dated folder beside the journal.
    """
    from jobs import reconcile as step
    from jobs.activate import Approval

    if adopt != bool(by and reason) or bool(by) != bool(reason):
        raise WrongUsage(
            "an adoption needs a person and a reason, and nothing else does",
            "command line",
            "give --adopt, --by and --reason, or none of them",
        )
    settings, artifacts = _here()
    adoption = Approval(by, reason) if by and reason else None
    emit(step.run(artifacts, settings, adoption=adoption, dry_run=dry_run))


@click.command()
@click.option("--history", is_flag=True, help="every journal entry, oldest first")
@click.option(
    "--reference-for",
    type=click.DateTime(["%Y-%m-%d"]),
    help="the release a run of this day is compared with",
)
def releases(reference_for: datetime | None, *, history: bool) -> None:
    """Say what is live, previous, loaded and quarantined."""
    from jobs import list_releases as step
    from jobs.store.catalog import WAYS_OUT

    settings, artifacts = _here()
    if history:
        entries = step.history(artifacts)
        for entry in entries:
            print(step.in_words(entry), file=sys.stderr)
        emit({"journal": entries})
    elif reference_for is not None:
        chosen = references.choose(artifacts, str(reference_for.date()))
        emit({"reference": chosen.release or "none", "missing": list(chosen.missing)})
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


@click.command()
@click.option("--user", "user_id", type=click.IntRange(min=1), required=True, help="the user id")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--book", "book_id", type=click.IntRange(min=1), help="what speaks for this book")
def why(user_id: int, limit: int, book_id: int | None) -> None:
    """Follow an answer back to the data: pointer, release, run, the user's own ratings."""
    from jobs import explain as step

    settings, artifacts = _here()
    found = step.run(artifacts, settings, user_id, limit=limit, book_id=book_id)
    out = sys.stderr
    print(f"user {user_id} is answered from release {found.release} ({found.source})", file=out)
    print(
        f"  trained {found.trained_at} on data as of {found.data_as_of} by {found.run_by}", file=out
    )
    if found.list_lost:
        print(
            f"warning: Redis has lost this user's list: `nightshelf publish --release {found.release}` loads it again",
            file=out,
        )
    for item in found.items:
        print(f"  {item['score']:<10.4g} {item['title']}", file=out)
    print(f"because of {len(found.ratings)} ratings, the newest:", file=out)
    for row in found.ratings[:limit]:
        print(f"  {row['rating']} {row['title']} (row {row['source_row']})", file=out)
    if found.because is not None:
        print(f"for book {book_id} these speak most:", file=out)
    for one in found.because or []:
        print(f"  {one['share']:5.0%} {one['title']} (rated {one['rating']})", file=out)
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
    from jobs import steer

    settings, artifacts = _here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = steer.start(
        artifacts, settings, release=release, share=share, by=by, reason=reason, check=check
    )
    _tell(found.completeness)
    emit(found)


@canary.command()
@click.option("--quarantine", is_flag=True, help="bar its lists for good")
@_by
@_reason
def stop(by: str, reason: str, *, quarantine: bool) -> None:
    """End the canary; all users get the live release again."""
    from jobs import steer

    settings, artifacts = _here()
    emit(steer.stop(artifacts, settings, by=by, reason=reason, quarantine=quarantine))


@canary.command()
@_by
@_reason
@_check
@_incomplete_ok
def promote(by: str, reason: str, how: str, *, incomplete_ok: bool) -> None:
    """Make the canary the live release."""
    from jobs import steer

    settings, artifacts = _here()
    check = _checked(how, incomplete_ok=incomplete_ok)
    found = steer.promote(
        artifacts, settings, by=by, reason=reason, check=check, today=day.latest()
    )
    _tell(found.completeness)
    emit(found)


@click.command()
@click.option("--release", help="the release id; the live release if not given")
@click.option(
    "--sample", type=click.IntRange(min=1), default=50, show_default=True, help="hashes to compare"
)
@click.option("--seed", default=0, show_default=True, help="which sample")
@click.option("--all", "everything", is_flag=True, help="compare everything")
def audit(release: str | None, sample: int, seed: int, *, everything: bool) -> None:
    """Compare what Redis holds of a release with its files; exit code 3 when anything differs."""
    from jobs import audit as step

    settings, artifacts = _here()
    found = step.run(
        artifacts, settings, release=release, sample=None if everything else sample, seed=seed
    )
    emit(found)
    if found.differing:
        print(
            f"error: {found.differing} stored values differ from the files of {found.release}\n"
            f"  where: {len(found.users)} users, {len(found.books)} books, {len(found.tags)} popularity lists\n"
            "  do: run `nightshelf restore`, which writes those of the live and the previous release anew; another "
            "release is written anew by `activate` or `rollback` with `--check full`",
            file=sys.stderr,
        )
        sys.exit(GateRefused.exit_code)


@click.command("check-store")
@click.option(
    "--release", help="the release that is to be loaded; one like the live one if not given"
)
def check_store(release: str | None) -> None:
    """Say whether this Redis can lose lists, and whether one more release fits.

    Exit code 3: a load now would lose lists. 1: something else should be changed.
    """
    from jobs import check_store as step

    settings, artifacts = _here()
    found = step.run(artifacts, settings, release=release)
    for finding in found.findings:
        print(
            f"{'error' if finding.loses_data else 'warning'}: {finding.what}\n  where: {finding.where}\n"
            f"  do: {finding.do}",
            file=sys.stderr,
        )
    emit(found)
    if found.loses_data:
        sys.exit(GateRefused.exit_code)
    if not found.sound:
        sys.exit(TryLater.exit_code)
