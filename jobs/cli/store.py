"""Commands that examine and repair the store: restore, reconcile, why, audit, check-store."""

import sys

import click

from jobs.cli.main import emit, here
from jobs.runtime.errors import GateRefused, TryLater, WrongUsage


@click.command()
def restore() -> None:
    """Restore what a Redis Cluster lost, from the journal and the release files."""
    from jobs.operations import restore as step

    settings, artifacts = here()
    emit(step.run(artifacts, settings))


@click.command()
@click.option(
    "--adopt", is_flag=True, help="keep the journal on disk; the store belongs to it from then on"
)
@click.option("--by", help="who takes the store over")
@click.option("--reason", help="why")
@click.option("--dry-run", is_flag=True, help="show what would be done, change nothing")
def reconcile(by: str | None, reason: str | None, *, adopt: bool, dry_run: bool) -> None:
    """Reconcile a journal and a store that differ.

    Without options the journal takes the entries that Redis holds. With --adopt the store takes this journal. What is
    replaced is set aside in a dated folder beside the journal.
    """
    from jobs.operations import reconcile as step
    from jobs.store.activation import Approval

    adoption = Approval.of(by, reason)
    if adopt != (adoption is not None):
        raise WrongUsage(
            "an adoption needs a person and a reason, and nothing else does",
            "command line",
            "give --adopt, --by and --reason, or none of them",
        )
    settings, artifacts = here()
    emit(step.run(artifacts, settings, adoption=adoption, dry_run=dry_run))


@click.command()
@click.option("--user", "user_id", type=click.IntRange(min=1), required=True, help="the user id")
@click.option("--limit", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option(
    "--book", "book_id", type=click.IntRange(min=1), help="explain the score of this book"
)
def why(user_id: int, limit: int, book_id: int | None) -> None:
    """Follow an answer back to the data: pointer, release, run, the user's own ratings."""
    from jobs.operations import why as step

    settings, artifacts = here()
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
    if found.ranked is not None:
        place = f"place {found.ranked['rank']} of {found.ranked['of']} candidates"
        print(f"{place}, proposed by {', '.join(found.ranked['generators'])}:", file=out)
        for one in found.ranked["features"]:
            print(
                f"  {one['part']:+.3f} {one['meaning']}: {one['value']} ({one['unit']})", file=out
            )
    emit(found)


@click.command()
@click.option("--release", help="the release id; the live release if not given")
@click.option(
    "--sample", type=click.IntRange(min=1), default=50, show_default=True, help="hashes to compare"
)
@click.option("--seed", default=0, show_default=True, help="which sample is drawn")
@click.option("--all", "everything", is_flag=True, help="compare all hashes")
def audit(release: str | None, sample: int, seed: int, *, everything: bool) -> None:
    """Compare what Redis holds of a release with its files; exit code 3 when anything differs."""
    from jobs.operations import audit as step

    settings, artifacts = here()
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
    """Check whether this Redis can lose lists, and whether one more release fits.

    Exit code 3: a load now would lose lists. 1: something else should be changed.
    """
    from jobs.operations import check_store as step

    settings, artifacts = here()
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
