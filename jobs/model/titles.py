"""What a book's title says: its series, its volume, whether it is a box set, and which editions are one book.

In: a title as the catalogue has it, and the authors. Out: a `Title`, and a key that editions of one book share.

These forms name a series, in this order of preference:

1. A parenthesis with a number after "#": "Catching Fire (The Hunger Games, #2)". Of several series, with ";" between
   them, the first counts. "#1-3", "#0.5, 2.5" and "#1-4 + 3.5" are ranges. "#3: Part 1 of 2" is volume 3.
2. A parenthesis with a comma, colon or dash, a word for a volume, and a number: "(Bar, Vol. II)", "(Bar, Books 1-3)".
3. The same outside parentheses: "Fables, Vol. 2: Animal Farm". Such a title keeps its series and volume in `name`,
   because without them all volumes would bear one name.
4. A range after "#" at the end: "Diary of a Wimpy Kid: #1-4".

All else names no series, since a wrong series is worse than none:

- A parenthesis without a number: "(Penguin Classics)", "(Movie Tie-In Edition)" and "(Star Wars)" look alike.
- A number without a mark: "(Disney Princess, 5)", "(1984)". A number of more than three digits is a year.
- A parenthesis that names no series: "(Part 1)", "(Volume 2)". The text before it may be the title of one volume.
- A word for a volume after a space only, as in "(An I Can Read Book 2)".
- One number after "#" outside parentheses: "Public Enemy #1".
- A range that descends, and any other rest after the number: "#7-3", "#1/2", "#1a".

A box set is a range, or a name with the words for one: "Boxed Set", "Omnibus", "2-Book Collection", "(Books 1-13)". A
name that ends in "Trilogy" before its subtitle is one too, unless it has a volume.

Guarantees that a title without a series has no volume, that `first` <= `last`, that a range is a box set, that no text
fails, and that the time grows in proportion to the length. The exception is a run of thousands of combining marks,
which NFKC sorts in quadratic time.
"""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_NUMERALS = [
    *enumerate(("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), 1),
    *enumerate(("i", "ii", "iii", "iv", "v", "vi", "vii", "viii", "ix", "x"), 1),
    *enumerate(("xi", "xii", "xiii", "xiv", "xv", "xvi", "xvii", "xviii", "xix", "xx"), 11),
    (11, "eleven"),
    (12, "twelve"),
]
_COUNTED = {word: float(value) for value, word in _NUMERALS}

_ENGLISH = {"vol", "volume", "book", "bk", "part", "pt", "issue"}
_FOREIGN = {"tome", "tomes", "tomo", "band", "том", "книга", "الجزء"}
_WORDS = _ENGLISH | {f"{word}s" for word in _ENGLISH} | _FOREIGN | {"no."}

_DIGITS = r"\d{1,3}+(?:\.\d{1,2}+)?+(?!\w)"
_COUNT = rf"(?:{_DIGITS}|(?:{'|'.join(_COUNTED)})\b)"
_TO = r"(?: ?[-‐‑‒–—−] ?| (?:to|and|&) )"

# After "#": numbers with anything that joins them. What follows must begin with a mark, or be nothing.
_HASHED = re.compile(
    rf" ?(?P<numbers>{_DIGITS}(?:(?:{_TO}| ?[,+&] ?)#? ?{_DIGITS})*+)(?= ?(?:$|[,:،、+&]))"
)
# After a word: one number or one range. A list could be of years: "Letters, Vol. 1, 1915-1919".
_WORDED = re.compile(
    rf"[,:،、–—-] (?:{'|'.join(map(re.escape, sorted(_WORDS)))})"
    rf"(?:(?<=\.) ?|\. ?| )#? ?(?P<numbers>{_COUNT}(?:{_TO}{_COUNT})?+)(?: of {_COUNT})?+"
    r"(?= ?(?:$|[,:;،؛、(\[]|[–—-] ))"
)
_NUMBER = re.compile(_COUNT)

_BOX = re.compile(
    r"\bbox(?:ed)?[ -]?sets?\b|\bboxed collection\b|\bomnibus\b"
    rf"|\b(?:\d{{1,3}}|{'|'.join(_COUNTED)})[ -](?:book|volume|copy)[ -](?:boxed )?(?:set|collection)\b"
    r"|\b(?:books|volumes|vols\.?|bks\.?) \d{1,3} ?[-–—] ?\d{1,3}\b"
)
_COLLECTED = re.compile(r"\b(?:duology|trilogy|tetralogy)$")
_EDGES = " ,:;،؛、–—-"


@dataclass(frozen=True)
class Title:
    """What a title says. A novella "#2.5" is one volume, with 2.5 as `first` and `last`."""

    name: str
    series: str | None
    first: float | None
    last: float | None
    box_set: bool


@dataclass(frozen=True)
class _Found:
    series: str
    first: float
    last: float


def parse(title: str) -> Title:
    """Return what `title` says of its series and volume."""
    title = title.strip()
    name, found = _in_parentheses(title)
    plain = _plain(name)
    found = found or _outside(plain)
    first, last = (found.first, found.last) if found else (None, None)
    return Title(
        name=name,
        series=found.series if found else None,
        first=first,
        last=last,
        box_set=first != last
        or _BOX.search(plain) is not None
        or (first is None and _is_trilogy(plain.partition(":")[0].rstrip())),
    )


def edition_key(title: Title, authors: Sequence[str]) -> str:
    """Return a key that editions of one book share: letters, digits and symbols of the name, and the first author.

    Series and volume in parentheses are no part of it, since one edition names them and another does not. So two
    volumes that differ there alone share a key, and the caller compares `series` and `first` where both have them.
    Subtitles count. A name of punctuation alone stands as it is, and series and volume count with it.
    """
    author = _letters(authors[0]) if authors else ""
    name = _letters(title.name)
    if name:
        return f"{name}|{author}"
    return f"={title.name}|{title.series}|{title.first}|{title.last}|{author}"


def _is_trilogy(plain: str) -> bool:
    """Return whether a title without its subtitle is a trilogy, not one volume, "Book Two of the Bar Trilogy"."""
    return _COLLECTED.search(plain) is not None and _WORDS.isdisjoint(plain.split(" "))


def _plain(text: str) -> str:
    """Return `text` for comparison: NFKC, casefolded, with single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", folded).split())


def _letters(text: str) -> str:
    """Return `text` without punctuation, separators and control characters of any script.

    Marks stay, as vowels of many scripts are marks. Symbols stay: "C Primer" is not "C++ Primer".
    """
    return "".join(one for one in _plain(text) if unicodedata.category(one)[0] not in "PZC")


def _in_parentheses(title: str) -> tuple[str, _Found | None]:
    """Return the title without the last parenthesis that names a series and a volume, and what it names."""
    for start, end in reversed(_parentheses(title)):
        piece = _plain(title[start + 1 : end]).replace("؛", ";").partition(";")[0].strip()
        found = _hashed(piece) or _worded(piece)
        if found:
            before, after = title[:start].rstrip(), title[end + 1 :].strip()
            glue = " " if before and after and after[0] not in ",:;.!?" else ""
            # A title that is nothing but its series still needs a name.
            return before + glue + after or title, found
    return title, None


def _parentheses(text: str) -> list[tuple[int, int]]:
    """Return the places of the outermost parentheses that are closed, in order."""
    opened: list[int] = []
    found: list[tuple[int, int]] = []
    for at, one in enumerate(text):
        if one in "(（":
            opened.append(at)
        elif one in ")）" and opened:
            start = opened.pop()
            while found and found[-1][0] > start:
                found.pop()
            found.append((start, at))
    return found


def _outside(plain: str) -> _Found | None:
    """Return what a title says of series and volume outside parentheses."""
    found = _worded(plain)
    if found is None:
        found = _hashed(plain)
        if found and (found.first == found.last or not plain[-1].isdigit()):
            return None
    # A parenthesis that is still open stands before the volume: the title was cut.
    return found if found and found.series.count("(") == found.series.count(")") else None


def _hashed(piece: str) -> _Found | None:
    """Return what stands before and after the first "#", None unless both are as they should be."""
    before, mark, after = piece.partition("#")
    numbers = _HASHED.match(after) if mark else None
    if numbers is None:
        return None
    # In "Bar, Book #2" the word is no part of the series; in "Parts, #1" it is.
    rest, _, last = before.rstrip().rpartition(" ")
    is_word = last in _WORDS or last.removesuffix(".") in _WORDS
    return _named(rest if is_word else before, numbers["numbers"])


def _worded(piece: str) -> _Found | None:
    """Return what stands before and after the first word for a volume, None unless both are as they should be."""
    match = _WORDED.search(piece)
    return _named(piece[: match.start()], match["numbers"]) if match else None


def _named(series: str, numbers: str) -> _Found | None:
    """Return the series and its volumes; None if `series` has no letter or digit, or the numbers descend."""
    series = series.strip(_EDGES).removeprefix("the ")
    volumes = [_value(number) for number in _NUMBER.findall(numbers)]
    if volumes[0] > min(volumes) or not any(one.isalnum() for one in series):
        return None
    if volumes[0] < max(volumes):
        series = _BOX.sub("", series).strip(_EDGES) or series
    return _Found(series, volumes[0], max(volumes))


def _value(number: str) -> float:
    """Return the value of a number in digits of any script, in Roman numerals or as a word."""
    return _COUNTED[number] if number in _COUNTED else float(number)
