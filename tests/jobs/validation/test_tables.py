"""Each expectation, on a table with exactly the defect that it is there for."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import write_json
from jobs.validation import tables
from jobs.validation.bounds import Bounds
from jobs.validation.expectations import Validation
from jobs.validation.result import ExpectationResult, Table
from jobs.validation.tables import Task
from schemas import tables as t
from tests.harness.good_tables import BEFORE, BOOKS, Row, change, write_release

Edit = Callable[[list[Row]], Any]


def judged(
    folder: ReleaseFolder,
    table: Table,
    reference: ReleaseFolder | None = None,
    bounds: Bounds | None = None,
) -> Validation:
    """Judge a table of a release."""
    return tables.validate(Task(folder, table, reference, bounds or Bounds(), 0.05))[0]


def not_met(judgement: Validation) -> dict[str, ExpectationResult]:
    """Return the outcomes that are not passed, by name."""
    return {one.name: one for one in judgement.outcomes if one.status != "passed"}


@pytest.mark.parametrize("table", ["interactions", "books", "lists"])
def test_good_tables_pass(release: ReleaseFolder, table: Table) -> None:
    """A good table passes every expectation, without a reference."""
    judgement = judged(release, table)
    assert not_met(judgement) == {}
    assert judgement.status == "passed"


@pytest.mark.parametrize("table", ["interactions", "books", "lists"])
def test_good_tables_pass_beside_a_reference(
    release: ReleaseFolder, reference: ReleaseFolder, table: Table
) -> None:
    """A good table passes beside a reference too, with more expectations than without one."""
    judgement = judged(release, table, reference)
    assert not_met(judgement) == {}
    assert len(judgement.outcomes) > len(judged(release, table).outcomes)


def setting(place: int, column: str, value: Any) -> Edit:
    """Return an edit that sets one cell."""

    def edit(rows: list[Row]) -> None:
        rows[place][column] = value

    return edit


def append_again(rows: list[Row]) -> None:
    """Repeat the first pair at the end, a minute later."""
    last = rows[-1]
    again = {t.ARRIVED_AT: last[t.ARRIVED_AT] + timedelta(minutes=1), t.SOURCE_ROW: 10_000}
    rows.append({**rows[0], **again})


def shift(days: int) -> Edit:
    """Return an edit that moves every arrival by some days."""

    def edit(rows: list[Row]) -> None:
        for row in rows:
            row[t.ARRIVED_AT] += timedelta(days=days)

    return edit


def rate_everything(rating: int) -> Edit:
    """Return an edit that gives every row the same rating."""

    def edit(rows: list[Row]) -> None:
        for row in rows:
            row[t.RATING] = rating

    return edit


def swap_arrivals(rows: list[Row]) -> None:
    """Let the second row arrive before the first."""
    rows[0][t.ARRIVED_AT], rows[1][t.ARRIVED_AT] = rows[1][t.ARRIVED_AT], rows[0][t.ARRIVED_AT]


@pytest.mark.parametrize(
    ("edit", "name", "observed"),
    [
        (setting(7, t.RATING, 6), "rating_range", "1 of 240 ratings are outside"),
        (setting(7, t.RATING, 0), "rating_range", "1 of 240 ratings are outside"),
        (setting(0, t.USER_ID, 0), "user_id_range", "0"),
        # Book -1 is unknown as well as out of range.
        (setting(0, t.BOOK_ID, -1), "book_id_range", "-1"),
        (setting(0, t.BOOK_ID, BOOKS + 1), "known_books", "1 of 31 rated books are unknown"),
        (append_again, "unique_pairs", "2 of 241 ratings share a pair"),
        (rate_everything(1), "positive_share", "0.0 %"),
        (rate_everything(5), "positive_share", "100.0 %"),
        (shift(-3), "freshness", "92 h"),
        (shift(1), "freshness", "-4 h"),
        (swap_arrivals, "arrival_order", "1"),
    ],
)
def test_each_defect_of_interactions_is_found(
    release: ReleaseFolder, edit: Edit, name: str, observed: str
) -> None:
    """An expectation fails on interactions with its defect, and says what was observed."""
    change(release.interactions, t.INTERACTIONS, edit)
    found = not_met(judged(release, "interactions"))
    assert found[name].status == "failed"
    assert found[name].observed == observed
    assert set(found) <= {name, "known_books"}


def test_offending_values_are_shown(release: ReleaseFolder) -> None:
    """A failed expectation names some of the values it failed on."""
    change(release.interactions, t.INTERACTIONS, setting(0, t.BOOK_ID, 999))
    change(release.books, t.BOOKS, setting(3, t.TITLE, " "))
    assert not_met(judged(release, "interactions"))["known_books"].examples == (
        "known False, book_id 999",
    )
    assert not_met(judged(release, "books"))["titles"].examples == ("title ' ', book_id 4",)


def test_too_many_bad_rows_are_found(release: ReleaseFolder) -> None:
    """Bad rows over the allowed share fail; resolved repeats are not bad."""
    rows = [
        {t.FILE: "f", t.ROW: row, t.REASON: reason, t.RAW: ""}
        for row, reason in enumerate(["superseded"] * 40 + ["unknown_book"] * 12)
    ]
    change(release.rejects, t.REJECTS, lambda kept: kept.extend(rows))
    # 12 of 240 + 52 rows are 4.1 %
    assert not_met(judged(release, "interactions")) == {}
    change(release.rejects, t.REJECTS, lambda kept: kept.extend(rows[40:]))
    # 24 of 240 + 64 rows are 7.9 %
    assert not_met(judged(release, "interactions"))["reject_share"].observed == "7.9 %"


def halve(rows: list[Row]) -> None:
    """Keep the first half of the rows."""
    del rows[len(rows) // 2 :]


def test_too_few_rows_beside_the_reference_are_found(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """Half the rows of a day that should only have grown fail the ratio, and nothing else."""
    change(release.interactions, t.INTERACTIONS, halve)
    found = not_met(judged(release, "interactions", reference))
    assert set(found) == {"rows_ratio"}
    assert found["rows_ratio"].observed == "120"


def test_too_few_users_beside_the_reference_are_found(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """As many rows as before by far fewer users fail the number of users."""

    def by_few(rows: list[Row]) -> None:
        for user in range(1, 9):
            rated = [row for row in rows if row[t.USER_ID] % 8 == user % 8]
            for place, row in enumerate(rated):
                row[t.USER_ID], row[t.BOOK_ID] = user, place + 1

    change(release.interactions, t.INTERACTIONS, by_few)
    assert set(not_met(judged(release, "interactions", reference))) == {"users_ratio"}


def test_a_changed_share_of_positives_is_found(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """A share inside the absolute bounds fails when it has moved too far from the reference's."""

    def nearly_all_positive(rows: list[Row]) -> None:
        for row in rows[:200]:
            row[t.RATING] = 5

    change(release.interactions, t.INTERACTIONS, nearly_all_positive)
    found = not_met(judged(release, "interactions", reference))
    assert set(found) == {"positive_share_change"}


def test_a_bad_day_shows_among_many_good_rows(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """New rows without a positive one fail by themselves, even where all rows together look right."""

    def begin_earlier(rows: list[Row]) -> None:
        for row in rows[:120]:
            row[t.ARRIVED_AT] -= timedelta(days=20)
        for row in rows[120:]:
            row[t.RATING] = 3

    change(release.interactions, t.INTERACTIONS, begin_earlier)
    loose = Bounds(positive_max_share_change=0.5, positive_min_share=0.15)
    found = not_met(judged(release, "interactions", reference, loose))
    assert set(found) == {"positive_share_new"}
    assert found["positive_share_new"].observed == "0.0 %"


@pytest.mark.parametrize(
    ("edit", "name", "observed"),
    [
        (setting(3, t.BOOK_ID, 3), "unique_book_ids", "2 of 30 cards share an id"),
        (setting(0, t.BOOK_ID, 0), "book_id_range", "0"),
        (setting(3, t.TITLE, ""), "titles", "1 of 30 titles are empty"),
        (setting(3, t.YEAR, 2199), "year_range", "1 of 30 cards have another year"),
        (setting(3, t.YEAR, -4000), "year_range", "1 of 30 cards have another year"),
        (lambda rows: [row[t.GENRES].clear() for row in rows[1:]], "genre_share", "3.3 %"),
    ],
)
def test_each_defect_of_books_is_found(
    release: ReleaseFolder, edit: Edit, name: str, observed: str
) -> None:
    """An expectation fails on books with its defect, and no other fails."""
    change(release.books, t.BOOKS, edit)
    found = not_met(judged(release, "books"))
    assert {key: one.observed for key, one in found.items()} == {name: observed}


@pytest.mark.parametrize(
    ("cleared", "share", "failing"),
    [
        ({"year": 1}, 0.0, {"year_cleared"}),
        ({"year": 1}, 0.05, set()),
        ({"title": 3, "year": 4}, 0.1, {"year_cleared"}),
        ({"title": 30, "authors": 30, "language": 30, "year": 30}, 1.0, set()),
    ],
)
def test_cells_that_extract_cleared_stop_a_day_above_a_share(
    release: ReleaseFolder, cleared: dict[str, int], share: float, failing: set[str]
) -> None:
    """Of 30 books: a tenth are 3; one cell is allowed unless none is."""
    write_json(release.records / "extract.json", {"counts": {"cleared": cleared}})
    found = not_met(judged(release, "books", bounds=Bounds(cleared_max_share=share)))
    assert set(found) == failing


def test_tags_without_rows_are_no_tags(release: ReleaseFolder) -> None:
    """No genre is expected where tags.csv has a header alone."""
    change(release.books, t.BOOKS, lambda rows: [row[t.GENRES].clear() for row in rows])
    begun = json.loads(release.inputs.read_text("utf-8"))
    begun["inputs"][1]["rows"] = 0
    write_json(release.inputs, begun)
    assert not_met(judged(release, "books")) == {}


def test_too_few_books_beside_the_reference_are_found(
    release: ReleaseFolder, reference: ReleaseFolder
) -> None:
    """A catalogue that lost half its books fails."""
    change(release.books, t.BOOKS, halve)
    assert set(not_met(judged(release, "books", reference))) == {"books_ratio"}


def test_genres_are_only_expected_of_a_source_with_tags(release: ReleaseFolder) -> None:
    """Books without genres pass where the source has no tags."""
    change(release.books, t.BOOKS, lambda rows: [row[t.GENRES].clear() for row in rows])
    inputs = release.inputs.read_text("utf-8").replace("tags.csv", "other.csv")
    release.inputs.write_text(inputs, "utf-8")
    assert not_met(judged(release, "books")) == {}


def first(column: str, edit: Callable[[list[Any]], Any]) -> Edit:
    """Return an edit of the first list."""
    return lambda rows: edit(rows[0][column])


def drop_last(rows: list[Row]) -> None:
    """Make the first list one book shorter."""
    rows[0][t.BOOK_IDS].pop()
    rows[0][t.SCORES].pop()


def put(place: int, book: int) -> Edit:
    """Return an edit that puts a book at a place of the first list."""
    return first(t.BOOK_IDS, lambda books: books.__setitem__(place, book))


def score(place: int, value: float) -> Edit:
    """Return an edit that sets a score of the first list."""
    return first(t.SCORES, lambda scores: scores.__setitem__(place, value))


def repeat_book(rows: list[Row]) -> None:
    """Put the first book of the first list at its end too."""
    rows[0][t.BOOK_IDS][-1] = rows[0][t.BOOK_IDS][0]


def tie_out_of_order(rows: list[Row]) -> None:
    """Give books of the first list equal scores, the larger id first."""
    books = rows[0][t.BOOK_IDS]
    place = next(i for i in range(1, len(books)) if books[i] < books[i - 1])
    rows[0][t.SCORES][place] = rows[0][t.SCORES][place - 1]


def all_alike(rows: list[Row]) -> None:
    """Give users with the same unrated books the same list."""
    for row in rows:
        row[t.BOOK_IDS] = sorted(row[t.BOOK_IDS])


ONE = "1 of 24 lists "


@pytest.mark.parametrize(
    ("edit", "name", "observed"),
    [
        (drop_last, "lists_length", ONE + "are longer or shorter"),
        (repeat_book, "lists_repeats", ONE + "repeat a book"),
        # User 1 has rated book 2.
        (put(19, 2), "no_rated_book", ONE + "hold a rated book"),
        (put(19, 777), "lists_known_books", ONE + "hold an unknown book"),
        (score(5, 1.0), "lists_order", ONE + "are not"),
        (tie_out_of_order, "lists_order", ONE + "are not"),
        (score(19, float("-inf")), "lists_finite", ONE + "have other scores"),
        (first(t.SCORES, list.pop), "lists_scores", ONE + "have more or fewer scores"),
        (setting(0, t.SOURCE, "guess"), "sources", ONE + "have another source"),
        (lambda rows: rows.pop(), "every_user", "1 of 24 users have none"),
    ],
)
def test_each_defect_of_users_lists_is_found(
    release: ReleaseFolder, edit: Edit, name: str, observed: str
) -> None:
    """An expectation fails on users' lists with its defect, and no other fails."""
    change(release.lists, t.LISTS, edit)
    found = not_met(judged(release, "lists"))
    assert {key: one.observed for key, one in found.items()} == {name: observed}


def test_a_list_for_nobody_is_found(release: ReleaseFolder) -> None:
    """A list of a user without ratings fails; that it is too short then follows."""
    change(release.lists, t.LISTS, lambda rows: rows.append({**rows[-1], t.USER_ID: 99}))
    found = not_met(judged(release, "lists"))
    assert set(found) == {"users_of_lists", "lists_length"}
    assert found["users_of_lists"].examples == ("ratings 0, user_id 99",)


def test_two_lists_of_one_user_are_found(release: ReleaseFolder) -> None:
    """A user with two lists fails, and nothing else."""
    change(release.lists, t.LISTS, lambda rows: rows.insert(0, rows[0]))
    assert set(not_met(judged(release, "lists"))) == {"one_list_a_user"}


def test_one_list_for_everybody_is_found(release: ReleaseFolder) -> None:
    """A model that tells nobody apart fails: a third of the users with one list is too much for 30 %."""
    change(release.lists, t.LISTS, all_alike)
    found = not_met(judged(release, "lists", bounds=Bounds(same_list_max_share=0.3)))
    assert {key: one.observed for key, one in found.items()} == {"variety": "33.3 %"}


def test_too_few_lists_beside_the_reference_are_found(release: ReleaseFolder) -> None:
    """Far fewer lists than the reference has fail."""
    larger = write_release(release.root.parent, BEFORE, users=60)
    assert set(not_met(judged(release, "lists", larger))) == {"lists_ratio"}


THREE = "1 of 3 lists "


@pytest.mark.parametrize(
    ("edit", "names", "observed"),
    [
        (drop_last, {"popularity_length"}, THREE + "are longer or shorter"),
        (repeat_book, {"popularity_repeats"}, THREE + "repeat a book"),
        (put(29, 777), {"popularity_known_books", "popularity_genres"}, ""),
        (score(5, 1.0), {"popularity_order"}, THREE + "are not"),
        (score(29, float("-inf")), {"popularity_finite"}, THREE + "have other scores"),
        (first(t.SCORES, list.pop), {"popularity_scores"}, THREE + "have more or fewer scores"),
        (lambda rows: rows.pop(0), {"popularity_of_all"}, "0"),
        (lambda rows: rows.append(rows[1]), {"popularity_tags"}, "2 of 4 lists share a tag"),
        # Book 2 is history, the second list fantasy.
        (lambda rows: rows[1][t.BOOK_IDS].__setitem__(14, 2), {"popularity_genres"}, ""),
    ],
)
def test_each_defect_of_popularity_lists_is_found(
    release: ReleaseFolder, edit: Edit, names: set[str], observed: str
) -> None:
    """An expectation fails on popularity lists with its defect, and no other fails."""
    change(release.popularity, t.POPULARITY, edit)
    found = not_met(judged(release, "lists"))
    assert set(found) == names
    assert not observed or next(iter(found.values())).observed == observed


THIRTY = "1 of 30 lists "


@pytest.mark.parametrize(
    ("edit", "name", "observed"),
    [
        (drop_last, "similar_length", THIRTY + "are longer or shorter"),
        (put(28, 2), "similar_repeats", THIRTY + "repeat a book"),
        # The first list is that of book 1.
        (put(28, 1), "similar_itself", THIRTY + "hold their own book"),
        (put(28, 777), "similar_known_books", THIRTY + "hold an unknown book"),
        (score(5, 1.0), "similar_order", THIRTY + "are not"),
        (score(28, float("-inf")), "similar_finite", THIRTY + "have other scores"),
        (first(t.SCORES, list.pop), "similar_scores", THIRTY + "have more or fewer scores"),
        (setting(29, t.BOOK_ID, 99), "similar_known", THIRTY + "belong to an unknown book"),
    ],
)
def test_each_defect_of_similar_lists_is_found(
    release: ReleaseFolder, edit: Edit, name: str, observed: str
) -> None:
    """An expectation fails on similar lists with its defect; a changed owner may be in its own list."""
    change(release.similar, t.SIMILAR, edit)
    found = not_met(judged(release, "lists"))
    assert found.pop(name).observed == observed
    assert set(found) <= {"similar_itself"}


def test_two_similar_lists_of_one_book_are_found(release: ReleaseFolder) -> None:
    """A book with two similar lists fails; that all lists are then one short follows."""
    change(release.similar, t.SIMILAR, lambda rows: rows.append(rows[0]))
    assert "similar_unique" in not_met(judged(release, "lists"))


@pytest.mark.parametrize(
    ("table", "file", "schema"),
    [
        ("interactions", "interactions.parquet", t.INTERACTIONS),
        ("books", "books.parquet", t.BOOKS),
        ("lists", "lists.parquet", t.LISTS),
        ("lists", "popularity.parquet", t.POPULARITY),
        ("lists", "similar.parquet", t.SIMILAR),
    ],
)
def test_an_empty_table_is_bad_data(
    release: ReleaseFolder, table: Table, file: str, schema: pa.Schema
) -> None:
    """A table without rows fails, and what needs rows is left out instead of crashing."""
    change(release.root / file, schema, list.clear)
    judgement = judged(release, table)
    assert judgement.status == "failed"
    assert judgement.stopped_at is not None
    assert [one.observed for one in not_met(judgement).values()] == ["0"]


@pytest.mark.parametrize("table", ["interactions", "books", "lists"])
@pytest.mark.parametrize("defect", ["absent", "other type", "one more"])
def test_other_columns_are_bad_data(release: ReleaseFolder, table: Table, defect: str) -> None:
    """A column that is absent, of another type or not expected fails; the rest is left out."""
    path = release.root / f"{table}.parquet"
    read = pq.read_table(path)
    changed = {
        "absent": lambda: read.drop_columns([read.column_names[0]]),
        "other type": lambda: read.set_column(
            0, read.column_names[0], read.column(0).cast(pa.int64())
        ),
        "one more": lambda: read.append_column("extra", read.column(0)),
    }[defect]()
    pq.write_table(changed, path)
    judgement = judged(release, table)
    assert set(not_met(judgement)) == {f"{table}_columns"}
    assert judgement.status == "failed"


@pytest.mark.parametrize(
    ("table", "file", "column", "broken"),
    [
        ("interactions", "interactions.parquet", t.RATING, None),
        ("books", "books.parquet", t.TITLE, None),
        ("lists", "lists.parquet", t.BOOK_IDS, [1, None]),
        ("lists", "similar.parquet", t.SCORES, None),
    ],
)
def test_missing_values_are_bad_data(
    release: ReleaseFolder, table: Table, file: str, column: str, broken: Any
) -> None:
    """A null where none may be fails, inside a list too."""
    path = release.root / file
    read = pq.read_table(path)
    rows = read.to_pylist()
    rows[2][column] = broken
    loose = pa.schema([pa.field(field.name, field.type) for field in read.schema])
    pq.write_table(pa.Table.from_pylist(rows, loose), path)
    found = not_met(judged(release, table))
    assert len(found) == 1
    assert next(iter(found)).endswith("_complete")
    assert next(iter(found.values())).examples == (f"missing_values 1, column '{column}'",)


def test_a_year_may_be_unknown(release: ReleaseFolder) -> None:
    """A nullable column may have nulls: the year of the first good card is unknown."""
    assert pq.read_table(release.books)[t.YEAR].null_count == 1
    assert not_met(judged(release, "books")) == {}


def test_an_unreadable_file_is_broken_input(release: ReleaseFolder) -> None:
    """Half a parquet file is broken input that names the step to run again."""
    content = release.books.read_bytes()
    release.books.write_bytes(content[: len(content) // 2])
    with pytest.raises(BrokenInput, match=r"books\.parquet cannot be read"):
        judged(release, "books")
