"""What every answer must be, worked out from the parquet files of releases, byte for byte.

In: release folders. Out: the body and the tag of any user's answer from any of them. Guarantees that nothing of
`serving` or of the encoding in Redis has a part in it: the form of an answer is written down here a second time.
"""

from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq

Ranked = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Answer:
    """A list with where it came from."""

    source: str
    reason: str | None
    items: Ranked

    @property
    def kind(self) -> str:
        """How a tag names where the list came from."""
        return self.source if self.reason is None else f"{self.source}.{self.reason}"


@dataclass(frozen=True)
class Release:
    """The lists of one release."""

    name: str
    lists: dict[int, Answer]
    popular: Ranked

    def own(self, user: int) -> Answer:
        """Return the answer for a user while nothing is broken."""
        return self.lists.get(user) or Answer("popularity", "unknown_user", self.popular)

    def fallback(self, reason: str) -> Answer:
        """Return the answer for anybody while something is broken."""
        return Answer("popularity", reason, self.popular)


class Oracle:
    """The lists of all releases that were ever written."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._releases: dict[str, Release] = {}

    def learn(self, folder: Path) -> Release:
        """Read a release folder; its name is the release's id."""
        rows = pq.read_table(folder / "lists.parquet").to_pylist()
        lists = {
            row["user_id"]: Answer(
                row["source"],
                None if row["source"] == "als" else "short_history",
                _ranked(row["book_ids"], row["scores"]),
            )
            for row in rows
        }
        popular = pq.read_table(folder / "popularity.parquet").to_pylist()
        (everything,) = (row for row in popular if row["tag"] == "")
        ranked = _ranked(everything["book_ids"], everything["scores"])
        self._releases[folder.name] = Release(folder.name, lists, ranked)
        return self._releases[folder.name]

    def release(self, name: str) -> Release | None:
        """Return a release by its id, None for one that nobody wrote."""
        return self._releases.get(name)


def body(release: str, user: int, answer: Answer, limit: int) -> bytes:
    """Return the body of a single look-up."""
    reason = "null" if answer.reason is None else f'"{answer.reason}"'
    items = ",".join(
        '{"book_id":' + str(book) + ',"score":' + format(score, ".4g") + "}"
        for book, score in answer.items[:limit]
    )
    return (
        f'{{"user_id":{user},"release":"{release}","source":"{answer.source}",'
        f'"reason":{reason},"items":[{items}]}}'
    ).encode()


def batch_body(release: str, answers: dict[int, Answer], limit: int) -> bytes:
    """Return the body of a batch; users in the order they were asked for."""
    parts = [body(release, user, answer, limit).decode() for user, answer in answers.items()]
    return f'{{"release":"{release}","results":[{",".join(parts)}]}}'.encode()


def tag(release: str, user: int, answer: Answer, limit: int) -> str:
    """Return the entity tag of a single look-up."""
    return f'"{release}.{answer.kind}.u{user}.{limit}"'


def batch_tag(release: str, answers: dict[int, Answer], limit: int) -> str:
    """Return the entity tag of a batch."""
    kinds = "-".join(sorted({answer.reason or answer.source for answer in answers.values()}))
    return f'"{release}.{kinds}.b{"-".join(map(str, answers))}.{limit}"'


def _ranked(books: list[int], scores: list[float]) -> Ranked:
    return tuple(zip(books, scores, strict=True))
