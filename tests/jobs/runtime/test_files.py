"""Folders appear whole or not at all."""

from pathlib import Path
from typing import cast

import pytest

from jobs.runtime.files import making_folder


def _make(target: Path, content: str, *, replace: bool = False) -> None:
    with making_folder(target, replace=replace) as new:
        (new / "file").write_text(content)


def test_a_folder_appears_when_it_is_whole(tmp_path: Path) -> None:
    """Not before the block ends; its parents are made; nothing else is left."""
    target = tmp_path / "parent" / "folder"
    with making_folder(target) as new:
        (new / "file").write_text("one")
        assert not target.exists()
    assert (target / "file").read_text() == "one"
    assert list(target.parent.iterdir()) == [target]


def test_a_block_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    """The old folder stays, the new one is gone."""
    target = tmp_path / "folder"
    _make(target, "one")
    with pytest.raises(TypeError):
        _make(target, cast("str", None), replace=True)
    assert (target / "file").read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_is_replaced_only_if_asked(tmp_path: Path) -> None:
    """Without the word the old one stays and it is an error."""
    target = tmp_path / "folder"
    _make(target, "one")
    with pytest.raises(OSError, match="not empty"):
        _make(target, "two")
    assert (target / "file").read_text() == "one"
    _make(target, "two", replace=True)
    assert (target / "file").read_text() == "two"
    assert list(tmp_path.iterdir()) == [target]
