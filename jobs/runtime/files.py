"""Writing complete files or none.

In: a target path and a writer. Out: the file under its name. Guarantees that a user never sees half a
file: content goes to a temporary name in the same folder, is flushed to disk, and is renamed.
"""

import errno
import hashlib
import json
import os
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jobs.runtime import system
from jobs.runtime.errors import TryLater

_CHUNK_BYTES = 1 << 20


@contextmanager
def disk_full_as_problem(target: Path) -> Iterator[None]:
    """Raise TryLater that names `target` when the block finds the disk full."""
    try:
        yield
    except OSError as error:
        if system.number_of(error) not in {errno.ENOSPC, errno.EDQUOT}:
            raise
        raise TryLater(
            "the disk is full",
            str(target),
            "free space on this file system and run the step again; nothing was replaced",
        ) from error


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Give a temporary path beside `target`; rename it to `target` when the block ends well.

    Raises TryLater when the disk is full; whatever happens, the temporary file is gone afterwards.
    """
    with disk_full_as_problem(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{secrets.token_hex(4)}.tmp"
        try:
            yield temporary
            with temporary.open("rb") as written:
                os.fsync(written.fileno())
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def making_folder(target: Path, *, replace: bool = False) -> Iterator[Path]:
    """Give a new folder on the same file system; rename it to `target` when the block ends well.

    What stands at `target` is only replaced with `replace`, else it stays and OSError is raised. Raises TryLater when
    the disk is full; whatever happens, the temporary folder is gone afterwards.
    """
    with disk_full_as_problem(target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{target.name}-", dir=target.parent) as place:
            new = Path(place) / "new"
            new.mkdir()
            yield new
            if replace and target.exists():
                target.rename(Path(place) / "old")
            new.rename(target)


def write_text(target: Path, text: str) -> None:
    """Write `text` in UTF-8 to `target`, complete or not at all."""
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(target: Path, content: Any) -> None:
    """Write `content` as indented JSON with sorted keys."""
    write_text(target, json.dumps(content, indent=2, sort_keys=True, default=str) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, {} where there is no file. Raises ValueError when it holds no JSON object."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    if not isinstance(content, dict):
        raise ValueError(f"{path} holds no JSON object")  # noqa: TRY004  # as for any other text
    return content


def json_files(folder: Path) -> list[Path]:
    """Return the JSON files in a folder by name, none where there is no folder.

    Raises OSError when it cannot be listed: `Path.glob` would call such a folder empty.
    """
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".json")
    except FileNotFoundError:
        return []


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
