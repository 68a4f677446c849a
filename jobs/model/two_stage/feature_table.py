"""The table of features: what each is called, what it says, its unit, and what a source has to have for it.

In: nothing. Out: `FEATURES`, in the order of the ranker's columns. A source that lacks what a feature needs has nothing
in its column.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Feature:
    """One column: its name, what it says in words, its unit, and what a source has to have for it.

    Ratings are those of the user where nothing else is said.
    """

    name: str
    meaning: str
    unit: str
    needs: str


def _of_generator(name: str, what: str) -> tuple[Feature, ...]:
    return (
        Feature(f"{name}_score", f"score by {what}", "share of the user's best", "ratings"),
        Feature(
            f"{name}_rank", f"place by {what} among the candidates", "ln(1 + place)", "ratings"
        ),
    )


#: All features, in the order of the ranker's columns.
FEATURES = (
    *_of_generator("als_short", "ALS, from what was read last"),
    *_of_generator("als_long", "ALS, from a longer memory"),
    *_of_generator("ease", "sparse EASE"),
    *_of_generator("last", "the neighbours of the newest books"),
    *_of_generator("author", "the authors read"),
    *_of_generator("new", "the regression for new books"),
    Feature("als_strength", "score by ALS, from what was read last", "score", "ratings"),
    Feature("generators", "how many generators propose the book", "count", "ratings"),
    Feature("ratings", "ratings of the book", "ln(1 + count)", "ratings"),
    Feature("popular_0.2", "share of the ratings, half-life 20 % of all rows", "ln", "times"),
    Feature("popular_0.05", "share of the ratings, half-life 5 % of all rows", "ln", "times"),
    Feature("popular_0.01", "share of the ratings, half-life 1 % of all rows", "ln", "times"),
    Feature("popular_0.003", "share of the ratings, half-life 0.3 % of all rows", "ln", "times"),
    Feature("rising", "popularity lately relative to before", "ln of a ratio", "times"),
    Feature("age", "age of the book's first rating", "share of all rows", "times"),
    Feature("unread_for", "age of the book's newest rating", "share of all rows", "times"),
    Feature("mean_rating", "mean rating of the book, drawn to that of all", "stars", "ratings"),
    Feature("volume", "number of the volume in its series", "number", "series"),
    Feature("box_set", "the book is a box set", "0 or 1", "series"),
    Feature("user_ratings", "ratings of the user", "ln(1 + count)", "ratings"),
    Feature("user_mean", "mean rating of the user", "stars", "ratings"),
    Feature("user_since", "age of the user's newest rating", "share of all rows", "times"),
    Feature("author_read", "books of this author that the user rated", "count", "authors"),
    Feature(
        "author_rating",
        "mean rating of this author, less that of all",
        "stars",
        "authors",
    ),
    Feature(
        "author_since", "ratings since the last book of this author", "ln(1 + count)", "authors"
    ),
    Feature("series_read", "volumes of this series that the user rated", "count", "series"),
    Feature("series_rating", "mean rating of this series, less that of all", "stars", "series"),
    Feature(
        "series_since", "ratings since the last volume of this series", "ln(1 + count)", "series"
    ),
    Feature("series_gap", "volumes after the highest one read", "number", "series"),
    Feature("series_first", "volumes after the first one of the series", "number", "series"),
    Feature("genres", "nearness of the genres to what the user liked", "cosine", "genres"),
    Feature(
        "genres_lately", "nearness of the genres to what the user liked lately", "cosine", "genres"
    ),
    Feature(
        "language", "share of what the user read that is in this language", "share", "languages"
    ),
)
NAMES = tuple(feature.name for feature in FEATURES)
