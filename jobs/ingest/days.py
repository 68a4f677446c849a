"""The days of the drops folder, and the files of each.

In: a drops folder and a partition. Out: the files to read, in order of day and name, and what was skipped. Every
entry below the folder (but for days after the partition, which are not looked into) is read, or is a known marker or
an empty part beside a full one and counted, or is refused by name.

    drops/         ratings/, catalogue/, source.json
    ratings/       ds=YYYY-MM-DD/
    ds=YYYY-MM-DD/ *.parquet (the ending in any case), no folders
    catalogue/     books.csv, tags.csv, book_tags.csv, to_read.csv
"""

import stat
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.ingest import goodbooks
from jobs.ingest.csv_layout import column_name
from jobs.ingest.listing import Listing, NotComplete, file_named, listed, require_usable, unreadable
from jobs.runtime.artifacts import DropsFolder
from jobs.runtime.errors import BrokenInput, NothingToDo
from schemas.tables import BOOK_ID, RATING, USER_ID

REQUIRED = (USER_ID, BOOK_ID, RATING)
PREFIX = "ds="

_ENDING = ".parquet"

#: What a day's drop is like: all there, nothing there, or partly there.
Standing = Literal["complete", "absent", "in_progress"]


@dataclass(frozen=True)
class Seen:
    """What an entry of a day's drop looks like; `rows` is None and `columns` empty if it cannot be read."""

    name: str
    rows: int | None
    columns: tuple[str, ...]

    @property
    def lacks(self) -> tuple[str, ...]:
        """The needed columns that a readable file does not have."""
        if self.rows is None:
            return ()
        names = {column_name(own) for own in self.columns}
        return tuple(column for column in REQUIRED if column not in names)


@dataclass(frozen=True)
class Drop:
    """One file of a day's drop.

    `name` is its path below the drops folder, `first_row` the number of its first row within the day's drop.
    """

    day: str
    path: Path
    name: str
    rows: int
    first_row: int = 1


@dataclass(frozen=True)
class Found:
    """The files up to a day: `drops` with rows, `catalogue` by name, and counts of what was skipped."""

    drops: tuple[Drop, ...]
    catalogue: tuple[Path, ...]
    markers: int
    empty_parts: int


def up_to(source: DropsFolder, partition: str, *, unchanged_ok: bool, marker: str = "") -> Found:
    """Return the files of all days up to `partition`, in order of day and name.

    `marker` is the name of the file by which the source says that a day is complete, "" for none. Raises BrokenInput
    when there are no drops, when the partition is before the first, or when an entry cannot be read; its kind
    NotComplete when files are still being written or the partition's own day lacks the marker; NothingToDo when that
    day has no files, unless `unchanged_ok`.
    """
    root = listed(source.root, _root_entry, marker)
    top = listed(source.ratings, _day_folder, marker)
    catalogue = listed(source.catalogue, file_named(goodbooks.BOOKS, *goodbooks.OPTIONAL))
    for found in (root, top):
        require_usable(found)
    days = {
        path.name.removeprefix(PREFIX): listed(path, _part, marker)
        for path in top.entries
        if path.name <= f"{PREFIX}{partition}"
    }
    for found in (*days.values(), catalogue):
        require_usable(found)
    if partition in days and _unmarked(days[partition], marker):
        raise NotComplete(
            f"the drop of {partition} has no {marker}: the source has not said that it is complete",
            str(days[partition].folder),
            f"wait for the source to write {marker}, or write it; NIGHTSHELF_DROP_MARKER names it",
        )
    filled = {day: found for day, found in days.items() if found.entries or found.said_complete}
    _require_day(
        source,
        [path.name.removeprefix(PREFIX) for path in top.entries],
        filled,
        partition,
        unchanged_ok=unchanged_ok,
    )
    read = [_day_drops(source, day, found) for day, found in filled.items()]
    return Found(
        drops=tuple(drop for drops in read for drop in drops),
        catalogue=catalogue.entries,
        markers=sum(len(one.markers) for one in (root, top, catalogue, *days.values())),
        empty_parts=sum(len(found.entries) for found in filled.values())
        - sum(len(drops) for drops in read),
    )


def standing(source: DropsFolder, day: str, marker: str = "") -> Standing:
    """Say whether a day's drop is there: in progress too while `marker`, if one is named, is missing beside files.

    Raises BrokenInput when a folder cannot be listed.
    """
    top = listed(source.ratings, _day_folder, marker)
    found = listed(source.ratings / f"{PREFIX}{day}", _part, marker)
    if not (found.entries or found.refused or found.in_progress or found.said_complete):
        return "absent"
    if found.in_progress or top.in_progress or _unmarked(found, marker):
        return "in_progress"
    return "complete"


def _unmarked(found: Listing, marker: str) -> bool:
    """Say whether a day has files, and not the marker that one is named."""
    return bool(marker and found.entries) and all(path.name != marker for path in found.markers)


def seen(source: DropsFolder, partition: str) -> tuple[Seen, ...]:
    """Return what lies in the partition's own drop, by name; also what cannot be read and what is still written."""
    found = Listing(source.ratings)
    with suppress(BrokenInput):
        found = listed(source.ratings / f"{PREFIX}{partition}", _part)
    others = (*found.in_progress, *(path for path, _ in found.refused))
    readable = [_seen(path, source) for path in found.entries]
    return tuple(
        sorted(
            (*readable, *(Seen(_name(path, source), None, ()) for path in others)),
            key=lambda one: one.name,
        )
    )


def damaged(path: Path, error: Exception) -> BrokenInput:
    """Return the error about a file that is no parquet file, or is only a part of one."""
    return BrokenInput(
        f"{path.name} is a truncated parquet file, or none: {str(error).splitlines()[0]}",
        str(path),
        "land the drop again",
    )


def _root_entry(name: str, mode: int) -> str | None:
    if name == "source.json":
        return None if stat.S_ISREG(mode) else "not a regular file"
    if name in {"ratings", "catalogue"}:
        return None if stat.S_ISDIR(mode) else "not a folder"
    return "expected here: ratings, catalogue, source.json"


def _day_folder(name: str, mode: int) -> str | None:
    day = name.removeprefix(PREFIX)
    with suppress(ValueError):
        if name.startswith(PREFIX) and str(date.fromisoformat(day)) == day:
            return None if stat.S_ISDIR(mode) else "not a folder; a day's files lie in a folder"
    return "names no day; name it ds=YYYY-MM-DD after the day its files arrived"


def _part(name: str, mode: int) -> str | None:
    if stat.S_ISDIR(mode):
        return "a folder within a day's; move its files up"
    if not stat.S_ISREG(mode):
        return "not a regular file"
    if name.startswith("_"):
        return "a name with a leading underscore is no data file"
    return None if name.lower().endswith(_ENDING) else f"its name does not end in {_ENDING}"


def _require_day(
    source: DropsFolder,
    landed: list[str],
    filled: dict[str, Listing],
    partition: str,
    *,
    unchanged_ok: bool,
) -> None:
    """Raise unless there is a day to read, and the partition's own unless `unchanged_ok`."""
    if not landed:
        raise BrokenInput(
            "there are no drops",
            str(source.ratings),
            "land some, for example with `nightshelf replay`",
        )
    if not filled:
        raise BrokenInput(
            f"partition {partition} is older than the first drop, {landed[0]}"
            if partition < landed[0]
            else f"there are no files up to {partition}",
            str(source.ratings),
            f"run {landed[0]} or a later day" if partition < landed[0] else "land the day's drop",
        )
    if partition not in filled and not unchanged_ok:
        raise NothingToDo(
            f"no drop has arrived for {partition}; the newest before it is {max(filled)}",
            str(source.ratings / f"{PREFIX}{partition}"),
            "land the day's drop, or give --unchanged-ok to train on what there is",
        )


def _day_drops(source: DropsFolder, day: str, found: Listing) -> list[Drop]:
    """Return the files of a day that have rows. Raises BrokenInput when none has."""
    drops: list[Drop] = []
    first = 1
    for path in found.entries:
        rows = _rows(path)
        if rows:
            drops.append(Drop(day, path, _name(path, source), rows, first))
            first += rows
    if not drops:
        raise BrokenInput(
            "the drop is empty: it has columns and no rows"
            if found.entries
            else "the drop is empty: it is marked as complete and has no file",
            str(found.entries[0] if len(found.entries) == 1 else found.folder),
            "land the drop again, or remove the folder if nothing arrived that day",
        )
    return drops


def _name(path: Path, source: DropsFolder) -> str:
    return str(path.relative_to(source.root))


def _seen(path: Path, source: DropsFolder) -> Seen:
    try:
        content = pq.read_metadata(path)
    except (pa.ArrowException, OSError):
        return Seen(_name(path, source), None, ())
    columns = tuple(content.schema.to_arrow_schema().names)
    return Seen(_name(path, source), int(content.num_rows), columns)


def _rows(path: Path) -> int:
    try:
        return int(pq.read_metadata(path).num_rows)
    except pa.ArrowException as error:
        raise damaged(path, error) from error
    except OSError as error:
        # pyarrow also tells by OSError, without a number, that a file is cut off.
        raise (damaged(path, error) if error.errno is None else unreadable(path, error)) from error
