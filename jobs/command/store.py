"""Commands about releases in Redis: publish, activate, rollback, retire, restore, releases, why, canary, audit."""

import sys
from datetime import datetime

import click

from jobs.command.line import emit
from jobs.release.folder import Artifacts
from jobs.runtime import settings as runtime_settings
from jobs.runtime.errors import GateRefused, WrongUsage
from jobs.runtime.settings import Settings

_release = click.option("--release", required=True, help="the release id")
_by = click.option("--by", required=True, help="who decides this")
_reason = click.option("--reason", required=True, help="why")


def _here() -> tuple[Settings, Artifacts]:
    settings = runtime_settings.from_environment()
    return settings, Artifacts(settings.artifacts)


@click.command()
@_release
@click.option("--rate", type=click.IntRange(min=0), help="lists a second at most; 0 is no limit")
def publish(release: str, rate: int | None) -> None:
    """Load a release beside the live one, read it back, and mark it verified."""
    from jobs import publish as step

    settings, artifacts = _here()
    emit(step.run(artifacts.release(release), settings, rate=rate))


@click.command()
@_release
@click.option("--approved-by", help="who lets a release on hold go live")
@click.option("--reason", help="why it may go live")
@click.option("--force", is_flag=True, help="also over a newer partition")
def activate(release: str, approved_by: str | None, reason: str | None, *, force: bool) -> None:
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
    emit(step.run(artifacts, release, settings, approval=approval, force=force))


@click.command()
@click.option("--to", help="the release to go back to; the previous one if not given")
@_by
@_reason
def rollback(to: str | None, by: str, reason: str) -> None:
    """Go back to an earlier release and quarantine the lists that are left."""
    from jobs import rollback as step

    settings, artifacts = _here()
    emit(step.run(artifacts, settings, to=to, by=by, reason=reason))


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
@click.option("--history", is_flag=True, help="every journal entry, oldest first")
@click.option(
    "--reference-for",
    type=click.DateTime(["%Y-%m-%d"]),
    help="the release a run of this day is compared with",
)
def releases(reference_for: datetime | None, *, history: bool) -> None:
    """Say what is live, previous, loaded and quarantined."""
    from jobs import list_releases as step

    settings, artifacts = _here()
    if history:
        entries = step.history(artifacts)
        for entry in entries:
            print(step.in_words(entry), file=sys.stderr)
        emit({"journal": entries})
    elif reference_for is not None:
        found = step.reference_for(artifacts, str(reference_for.date()))
        emit({"reference": found or "none"})
    else:
        emit(step.run(artifacts, settings))


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
def start(release: str, share: float, by: str, reason: str) -> None:
    """Start a canary, or change its share."""
    from jobs import steer

    settings, artifacts = _here()
    emit(steer.start(artifacts, settings, release=release, share=share, by=by, reason=reason))


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
def promote(by: str, reason: str) -> None:
    """Make the canary the live release."""
    from jobs import steer

    settings, artifacts = _here()
    emit(steer.promote(artifacts, settings, by=by, reason=reason))


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
            "  do: run `nightshelf restore`, which writes those of the live and the previous release anew",
            file=sys.stderr,
        )
        sys.exit(GateRefused.exit_code)
