"""Arrow schemas of every table the jobs exchange, and the only place where column names are written.

In: nothing. Out: column name constants and `pyarrow` schemas. Guarantees that two steps which name a
column mean the same one, with the same type and unit.
"""

import pyarrow as pa

USER_ID = "user_id"
BOOK_ID = "book_id"
RATING = "rating"
#: What a rating may be.
RATINGS = (1, 2, 3, 4, 5)
ARRIVED_AT = "arrived_at"
SOURCE_ROW = "source_row"

GOODREADS_BOOK_ID = "goodreads_book_id"
TITLE = "title"
AUTHORS = "authors"
YEAR = "year"
LANGUAGE = "language"
GENRES = "genres"
TO_READ_COUNT = "to_read_count"

FILE = "file"
ROW = "row"
REASON = "reason"
RAW = "raw"

SIDE = "side"
ENTITY_ID = "entity_id"
VECTOR = "vector"

TAG = "tag"
SOURCE = "source"
BOOK_IDS = "book_ids"
SCORES = "scores"

#: The tag under which the popularity list of all books stands.
ALL_BOOKS = ""

#: Values of the SIDE column of FACTORS.
SIDE_USER = "user"
SIDE_BOOK = "book"

INSTANT = pa.timestamp("us", tz="UTC")

#: One dated drop: what arrived on one day, as it came. Sorted by source_row.
DROP = pa.schema(
    [
        pa.field(USER_ID, pa.string()),
        pa.field(BOOK_ID, pa.string()),
        pa.field(RATING, pa.string()),
        pa.field(ARRIVED_AT, INSTANT, nullable=False),
        pa.field(SOURCE_ROW, pa.int64(), nullable=False),
    ]
)

#: Accepted ratings: one row per (user, book), sorted by arrived_at, then by file of the drops and source_row.
INTERACTIONS = pa.schema(
    [
        pa.field(USER_ID, pa.int32(), nullable=False),
        pa.field(BOOK_ID, pa.int32(), nullable=False),
        pa.field(RATING, pa.int8(), nullable=False),
        pa.field(ARRIVED_AT, INSTANT, nullable=False),
        pa.field(SOURCE_ROW, pa.int64(), nullable=False),
    ]
)

#: Every dropped row with its reason; `row` counts data rows of `file` from 1, `raw` is the row's text.
REJECTS = pa.schema(
    [
        pa.field(FILE, pa.string(), nullable=False),
        pa.field(ROW, pa.int64(), nullable=False),
        pa.field(REASON, pa.string(), nullable=False),
        pa.field(RAW, pa.string(), nullable=False),
    ]
)

#: Book cards, sorted by book_id. Genres are the curated tags, the most used first.
BOOKS = pa.schema(
    [
        pa.field(BOOK_ID, pa.int32(), nullable=False),
        pa.field(GOODREADS_BOOK_ID, pa.int64(), nullable=True),
        pa.field(TITLE, pa.string(), nullable=False),
        pa.field(AUTHORS, pa.list_(pa.string()), nullable=False),
        pa.field(YEAR, pa.int32(), nullable=True),
        pa.field(LANGUAGE, pa.string(), nullable=True),
        pa.field(GENRES, pa.list_(pa.string()), nullable=False),
        pa.field(TO_READ_COUNT, pa.int32(), nullable=False),
    ]
)

#: Undated `to_read` rows: (user, book) pairs of `to_read.csv`, sorted by both, no repeats.
TO_READ = pa.schema(
    [
        pa.field(USER_ID, pa.int32(), nullable=False),
        pa.field(BOOK_ID, pa.int32(), nullable=False),
    ]
)


def factors(width: int) -> pa.Schema:
    """Return the schema of the vectors of books and, of engines that fit them, users, by (side, entity_id)."""
    return pa.schema(
        [
            pa.field(SIDE, pa.string(), nullable=False),
            pa.field(ENTITY_ID, pa.int32(), nullable=False),
            pa.field(VECTOR, pa.list_(pa.float32(), width), nullable=False),
        ]
    )


#: A user's list, best first: scores are float32 numbers that a float16 holds exactly, not ascending,
#: equal scores in ascending book id. One row a user, sorted by user_id.
LISTS = pa.schema(
    [
        pa.field(USER_ID, pa.int32(), nullable=False),
        pa.field(SOURCE, pa.string(), nullable=False),
        pa.field(BOOK_IDS, pa.list_(pa.int32()), nullable=False),
        pa.field(SCORES, pa.list_(pa.float32()), nullable=False),
    ]
)

#: Popularity lists, of all books (tag "") and of each genre tag, sorted by tag; scores as in LISTS.
POPULARITY = pa.schema(
    [
        pa.field(TAG, pa.string(), nullable=False),
        pa.field(BOOK_IDS, pa.list_(pa.int32()), nullable=False),
        pa.field(SCORES, pa.list_(pa.float32()), nullable=False),
    ]
)

#: Similar books of each book that has any, sorted by book_id; scores as in LISTS.
SIMILAR = pa.schema(
    [
        pa.field(BOOK_ID, pa.int32(), nullable=False),
        pa.field(BOOK_IDS, pa.list_(pa.int32()), nullable=False),
        pa.field(SCORES, pa.list_(pa.float32()), nullable=False),
    ]
)
