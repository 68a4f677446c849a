"""Where everything lies under `NIGHTSHELF_ARTIFACTS`.

In: the artifacts folder and a release id. Out: paths. Guarantees that no step spells a file name itself.

    drops/ratings/ds=YYYY-MM-DD/*.parquet   what arrived on a day
    drops/catalogue/*.csv                   books, tags, book_tags, to_read as upstream ships them
    drops/source.json                       what the drops were made from
    releases/<release>/...                  one release, see `ReleaseFolder`
    releases/stopped/<stop>/...             a day that was stopped before it had a release, see `StopFolder`
    rejected/<release>.parquet              the rows for which such a day was stopped
    journal/NNNNNNNNNN.json                 every activation, rollback, refusal and quarantine
    journal/identity.json                   whose journal it is
    journal_set_aside/<time>-<how>/         entries of a history that was left
    attempts/<command>[@<dag>].json         how each command last began and ended (jobs/runtime/command_status.py)
"""

from dataclasses import dataclass
from pathlib import Path

from jobs.runtime.errors import BrokenInput, WrongUsage
from schemas.manifest import RELEASE_ID

_STOPPED = "stopped"


@dataclass(frozen=True)
class DropsFolder:
    """Dated drops and the catalogue files beside them."""

    root: Path

    @property
    def ratings(self) -> Path:
        """Folder with one `ds=YYYY-MM-DD` folder a day."""
        return self.root / "ratings"

    @property
    def catalogue(self) -> Path:
        """Folder with upstream's books.csv, tags.csv, book_tags.csv and to_read.csv."""
        return self.root / "catalogue"

    @property
    def source(self) -> Path:
        """What the drops were made from: edition, `time_ordered`, files with digests."""
        return self.root / "source.json"


@dataclass(frozen=True)
class ReleaseFolder:
    """The files of one release, in the order in which the steps write them."""

    root: Path

    @property
    def release(self) -> str:
        """The release id, which is the folder's name."""
        return self.root.name

    @property
    def inputs(self) -> Path:
        """What the release id was computed from: input files, settings, software; time order."""
        return self.root / "inputs.json"

    @property
    def interactions(self) -> Path:
        """Accepted ratings (`schemas.tables.INTERACTIONS`)."""
        return self.root / "interactions.parquet"

    @property
    def books(self) -> Path:
        """Book cards (`schemas.tables.BOOKS`)."""
        return self.root / "books.parquet"

    @property
    def to_read(self) -> Path:
        """Undated `to_read` rows (`schemas.tables.TO_READ`)."""
        return self.root / "to_read.parquet"

    @property
    def rejects(self) -> Path:
        """Dropped rows with reasons (`schemas.tables.REJECTS`)."""
        return self.root / "rejects.parquet"

    @property
    def factors(self) -> Path:
        """ALS factors (`schemas.tables.factors`)."""
        return self.root / "factors.parquet"

    @property
    def ranker(self) -> Path:
        """Trees that rank candidates, with the names of their features; of the engine `two_stage` alone."""
        return self.root / "ranker.json"

    @property
    def lists(self) -> Path:
        """A list for every user (`schemas.tables.LISTS`)."""
        return self.root / "lists.parquet"

    @property
    def popularity(self) -> Path:
        """Popularity lists (`schemas.tables.POPULARITY`)."""
        return self.root / "popularity.parquet"

    @property
    def similar(self) -> Path:
        """Similar books (`schemas.tables.SIMILAR`)."""
        return self.root / "similar.parquet"

    @property
    def manifest(self) -> Path:
        """What the release is made of; written once, by publish."""
        return self.root / "manifest.json"

    @property
    def decision(self) -> Path:
        """Verdict, reasons and the comparison with the reference release."""
        return self.root / "decision.json"

    @property
    def evaluation(self) -> Path:
        """Metrics with intervals."""
        return self.root / "evaluation.json"

    @property
    def data_page(self) -> Path:
        """The data quality of the release, for people."""
        return self.root / "report.html"

    @property
    def model_page(self) -> Path:
        """The model of the release, for people."""
        return self.root / "model.html"

    @property
    def records(self) -> Path:
        """One JSON file a finished step."""
        return self.root / "records"

    def validation(self, table: str) -> Path:
        """Return the path of the Great Expectations result of `table`; the page beside it ends in .html."""
        return self.root / "validation" / f"{table}.json"


@dataclass(frozen=True)
class StopFolder:
    """The files about a day that was stopped before it had a release."""

    root: Path

    @property
    def stop(self) -> str:
        """The id, shaped like that of a release: the same failure of the same day has the same one."""
        return self.root.name

    @property
    def problem(self) -> Path:
        """What was wrong, where, and what to do."""
        return self.root / "problem.json"

    @property
    def data_page(self) -> Path:
        """The same for people, with the rows that were left out."""
        return self.root / "report.html"


@dataclass(frozen=True)
class Artifacts:
    """The complete artifacts folder."""

    root: Path

    @property
    def drops(self) -> DropsFolder:
        """The drops that replay lands and extract reads."""
        return DropsFolder(self.root / "drops")

    @property
    def releases(self) -> Path:
        """Folder with one folder a release."""
        return self.root / "releases"

    @property
    def journal(self) -> Path:
        """Folder with one file a journal entry."""
        return self.root / "journal"

    @property
    def attempts(self) -> Path:
        """Folder with one file a command (and DAG): when it last began, and how it ended."""
        return self.root / "attempts"

    def release(self, release: str) -> ReleaseFolder:
        """Return the folder of a release, which need not exist. Raises WrongUsage on a malformed id."""
        if not RELEASE_ID.fullmatch(release):
            raise WrongUsage(
                f"{release!r} is no release id", "--release", "give YYYY-MM-DD-xxxxxxxx"
            )
        return ReleaseFolder(self.releases / release)


def release_folders(releases: Path) -> list[ReleaseFolder]:
    """Return the folders of all releases in `releases`, in order of their ids; other names are passed over.

    None where there is no such folder; raises OSError when it cannot be listed.
    """
    return [ReleaseFolder(path) for path in _named_by_day(releases)]


def stop_folder(releases: Path, stop: str) -> StopFolder:
    """Return the folder of a stopped day, which need not exist, beside the release folders."""
    return StopFolder(releases / _STOPPED / stop)


def stop_folders(releases: Path) -> list[StopFolder]:
    """Return the folders of all stopped days, in order of their ids."""
    return [StopFolder(path) for path in _named_by_day(releases / _STOPPED)]


def _named_by_day(parent: Path) -> list[Path]:
    try:
        return sorted(path for path in parent.iterdir() if RELEASE_ID.fullmatch(path.name))
    except FileNotFoundError:
        return []


def require(path: Path, step: str) -> Path:
    """Return `path` if the file exists. Raises BrokenInput that names the step which writes it."""
    if path.is_file():
        return path
    if path.exists():
        raise BrokenInput(
            f"{path.name} is no file", str(path), f"move it away and run `nightshelf {step}` again"
        )
    raise BrokenInput(f"{path.name} is missing", str(path), f"run `nightshelf {step}` first")
