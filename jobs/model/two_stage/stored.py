"""The ranker of a release, as a file; and the lists that a release's files give.

In: what was taught, or a release folder. Out: `ranker.json` with the trees, the names of their features in order, and
a digest of both; read back, and checked against the features that this version computes.
"""

import hashlib
import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from jobs.model import metadata
from jobs.model.past import Past
from jobs.model.settings import ModelSettings
from jobs.model.two_stage import feature_table, generators, lists
from jobs.model.two_stage.engine import Taught
from jobs.model.two_stage.lists import Listed
from jobs.model.two_stage.ranker import Ranker
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.documents import broken, read_document
from jobs.runtime.errors import BrokenInput
from jobs.runtime.files import write_json
from jobs.runtime.table_files import read_table


def write(folder: ReleaseFolder, taught: Taught) -> str:
    """Write the ranker of a release and return its digest; without a ranker the file says so."""
    trees = taught.ranker.trees if taught.ranker else None
    digest = _digest(feature_table.NAMES, trees)
    write_json(
        folder.ranker,
        {
            "features": list(feature_table.NAMES),
            "trees": trees,
            "digest": digest,
            "slices": taught.slices,
            "cases": taught.cases,
            "candidate_recall": taught.recall,
        },
    )
    return digest


def read(folder: ReleaseFolder) -> Ranker | None:
    """Return the ranker of a release, None where there were too few cases for one.

    Raises BrokenInput when train has not finished, the file is damaged, or the ranker is of other features.
    """
    found: dict[str, Any] = read_document(folder.ranker, "train", features=list, digest=str)
    names, trees = tuple(found["features"]), found.get("trees")
    if names != feature_table.NAMES:
        odd = ", ".join(sorted(set(names) ^ set(feature_table.NAMES))) or "another order"
        raise BrokenInput(
            f"the ranker of {folder.release} is of other features than this version's: {odd}",
            str(folder.ranker),
            "use the version that made the release, or run its day again with this one",
        )
    if found["digest"] != _digest(names, trees):
        raise broken(folder.ranker, "train", "its digest is not that of its trees")
    return Ranker(trees, names) if trees else None


def _digest(names: tuple[str, ...], trees: str | None) -> str:
    text = json.dumps([list(names), trees])
    return hashlib.sha256(text.encode()).hexdigest()


def listed(
    folder: ReleaseFolder,
    past: Past,
    vectors: NDArray[np.float32],
    settings: ModelSettings,
    limit: int,
    *,
    threads: int | None = None,
) -> tuple[Listed, bool]:
    """Return the lists (users, limit) of every user of a release's rows, and whether a ranker made them.

    `vectors` (books, factors) are those of ALS in the release. Raises BrokenInput as `read` does.
    """
    cards = metadata.of_cards(read_table(folder.books, "extract"))
    ranker = read(folder)
    fitted = generators.fit(past, cards, settings, threads, vectors=vectors)
    everyone = np.arange(past.pairs.shape[0])
    return lists.best(fitted, ranker, everyone, limit, threads=threads), ranker is not None
