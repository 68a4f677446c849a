"""API keys: `python -m deploy.nginx.keys add|list|revoke`.

In: the name of a caller and the file named in NIGHTSHELF_NGINX_API_KEYS_FILE. Out: a key, printed once; in the file,
its SHA-256 in the form of an NGINX map. Guarantees that a key is 256 random bits and is kept nowhere, that a
caller has two valid keys at most (the old one and the new one, while it is exchanged), and that NGINX never
reads half a file. NGINX takes a change up by a reload, which ends no request.
"""

import hashlib
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from deploy.nginx.settings import from_environment
from schemas.environment import EnvironmentProblem

MOST_KEYS = 2

_CALLER = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")
_LINE = re.compile(
    r'"(?P<hash>[0-9a-f]{64})" (?P<caller>[a-z0-9-]+); # (?P<added>[0-9-]{10})', re.ASCII
)


class KeyProblem(ValueError):
    """A key cannot be added or revoked, or the file is not one of keys; the message says what to do."""


@dataclass(frozen=True)
class Key:
    """A known key: its SHA-256 in hexadecimal, whose it is, the day it was added."""

    hash: str
    caller: str
    added: str


def read(file: Path) -> list[Key]:
    """Return the keys in a file, the oldest first; none where there is no file. Raises KeyProblem."""
    if not file.exists():
        return []
    found = []
    for number, line in enumerate(file.read_text(encoding="ascii").splitlines(), start=1):
        match = _LINE.fullmatch(line)
        if match is None:
            raise KeyProblem(
                f"line {number} of {file} is not a key; restore the file, or revoke and add anew"
            )
        found.append(Key(match["hash"], match["caller"], match["added"]))
    return found


def add(file: Path, caller: str) -> str:
    """Make a key for `caller`, add its hash to the file and return the key. Raises KeyProblem."""
    if not _CALLER.fullmatch(caller):
        raise KeyProblem(f"{caller!r} is no name: use a-z, 0-9 and hyphens, 32 at most")
    known = read(file)
    own = [key for key in known if key.caller == caller]
    if len(own) >= MOST_KEYS:
        raise KeyProblem(
            f"{caller} has {MOST_KEYS} keys; revoke the older one first: revoke {caller} {own[0].hash[:8]}"
        )
    key = secrets.token_urlsafe(32)
    digest = hashlib.sha256(key.encode()).hexdigest()
    _write(file, [*known, Key(digest, caller, f"{datetime.now(UTC):%Y-%m-%d}")])
    return key


def revoke(file: Path, caller: str, beginning: str) -> None:
    """Remove the one key of `caller` whose hash starts with `beginning`. Raises KeyProblem unless it is one."""
    known = read(file)
    matching = [key for key in known if key.caller == caller and key.hash.startswith(beginning)]
    if len(matching) != 1:
        raise KeyProblem(f"{caller} has {len(matching)} keys whose hash starts with {beginning!r}")
    _write(file, [key for key in known if key != matching[0]])


def _write(file: Path, keys: Sequence[Key]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(
        "w", dir=file.parent, prefix=f".{file.name}.", delete=False, encoding="ascii"
    ) as temporary:
        temporary.writelines(f'"{key.hash}" {key.caller}; # {key.added}\n' for key in keys)
        temporary.flush()
        os.fsync(temporary.fileno())
    Path(temporary.name).replace(file)


def main(arguments: Sequence[str] | None = None) -> None:
    """Carry out one command; a problem is printed without a traceback and exits with 2."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    try:
        _carry_out(given)
    except (KeyProblem, EnvironmentProblem) as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)


def _carry_out(given: Sequence[str]) -> None:
    name = from_environment().nginx_api_keys_file
    if not name:
        raise KeyProblem("NIGHTSHELF_NGINX_API_KEYS_FILE is not set")
    match given:
        case ["add", caller]:
            print(add(Path(name), caller))
            print("this key is shown once; reload NGINX to make it valid", file=sys.stderr)
        case ["list"]:
            for key in read(Path(name)):
                print(f"{key.caller:32} {key.hash[:8]} {key.added}")
        case ["revoke", caller, beginning]:
            revoke(Path(name), caller, beginning)
            print("reload NGINX to make this take effect", file=sys.stderr)
        case _:
            raise KeyProblem("usage: keys add CALLER | list | revoke CALLER HASH-BEGINNING")


if __name__ == "__main__":
    main()
