"""A command whose disk is full.

In: a folder, its size, a command. Out: how the command ended and which files it left in the folder. Guarantees that the
full disk is a real one, a small tmpfs that only the command sees. It needs `unshare` and the right to mount: root's,
or that of a user namespace.
"""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_NO_MOUNT = 125
_SCRIPT = f"""
mount -t tmpfs -o size="$1"k,mode=700 tmpfs "$2" || exit {_NO_MOUNT}
folder=$2
shift 2
status=0
"$@" || status=$?
cd "$folder" && find . -type f
exit $status
"""


@dataclass(frozen=True)
class Result:
    """How the command ended: `told` is its standard error, `left` the files below the folder."""

    exit_code: int
    text: str
    left: list[str]


def run(folder: Path, kib: int, *command: object) -> Result:
    """Run a command that sees `folder` as an empty disk of so many KiB."""
    folder.mkdir(parents=True, exist_ok=True)
    namespace = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    arguments = [str(part) for part in (kib, folder, *command)]
    process = subprocess.run(
        ["unshare", *namespace, "--mount", "sh", "-c", _SCRIPT, "sh", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert process.returncode != _NO_MOUNT, f"no tmpfs can be mounted here: {process.stderr}"
    left = [line for line in process.stdout.splitlines() if line.startswith("./")]
    return Result(process.returncode, process.stderr, sorted(left))
