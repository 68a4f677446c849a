"""Where everything lies under `NIGHTSHELF_ARTIFACTS`.

In: the artifacts folder and a release id. Out: paths. Guarantees that no step spells a file name itself.

    drops/ratings/ds=YYYY-MM-DD/*.parquet   what arrived on a day
    drops/catalogue/*.csv                   books, tags, book_tags, to_read as upstream ships them
    drops/source.json                       what the drops were made from
    releases/<release>/...                  one release, see `ReleaseFolder`
    journal/NNNNNNNNNN.json                 every activation, rollback, refusal and quarantine
    attempts/<command>[@<dag>].json         how each command last began and ended (jobs/runtime/attempt.py)
"""

from dataclasses import dataclass
from pathlib import Path

from jobs.runtime.errors import BrokenInput, WrongUsage
from schemas.manifest import RELEASE_ID


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
        """Undated wishes (`schemas.tables.TO_READ`)."""
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
class Artifacts:
    """The whole artifacts folder."""

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
    """Return the folders of all releases in `releases`, in order of their ids; other names are passed over."""
    named = (path for path in releases.iterdir() if RELEASE_ID.fullmatch(path.name))
    return [ReleaseFolder(path) for path in sorted(named)]


def require(path: Path, step: str) -> Path:
    """Return `path` if the file exists. Raises BrokenInput that names the step which writes it."""
    if not path.is_file():
        raise BrokenInput(f"{path.name} is missing", str(path), f"run `nightshelf {step}` first")
    return path
