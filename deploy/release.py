"""Cut a version: its number in every file that names it, the changelog's section, a commit and a tag.

In: a version (semver.org) above the one of pyproject.toml, a checkout without changes, entries under "Unreleased" in
CHANGELOG.md. Out: a commit "Version X.Y.Z" and the tag vX.Y.Z; images built from it have the same name. Writes nothing
when something is missing.

    make release VERSION=X.Y.Z
"""

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parent.parent
CHANGELOG = "CHANGELOG.md"
_NUMBER = r"\d+\.\d+\.\d+"
#: Every place of the version: a file, and what stands before the number there.
PLACES = {
    "pyproject.toml": '^version = "',
    "deploy/.env.example": "^NIGHTSHELF_VERSION=",
    "deploy/containers/Dockerfile": "^ARG VERSION=",
    "deploy/containers/compose.yaml": r"\$\{NIGHTSHELF_VERSION:-",
    "deploy/containers/stack.sh": r"\$\{NIGHTSHELF_VERSION:-",
    "deploy/kubernetes/README.md": "nightshelf/airflow:",
    "deploy/kubernetes/airflow/values.yaml": "^defaultAirflowTag: ",
    "deploy/kubernetes/base/kustomization.yaml": "newTag: ",
    "deploy/kubernetes/by-hand/kustomization.yaml": "newTag: ",
}
_OPEN = re.compile(r"^## Unreleased\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


class ReleaseProblem(Exception):
    """A version that cannot be cut; the message says what is missing."""


def versions(root: Path) -> dict[str, set[str]]:
    """Return the versions that each place names."""
    return {
        name: set(
            re.findall(f"{before}({_NUMBER})", (root / name).read_text("utf-8"), re.MULTILINE)
        )
        for name, before in PLACES.items()
    }


def run(root: Path, version: str, today: str) -> None:
    """Cut `version`. Raises ReleaseProblem before anything is written."""
    (now,) = versions(root)["pyproject.toml"]
    if not re.fullmatch(_NUMBER, version) or _parts(version) <= _parts(now):
        raise ReleaseProblem(f"{version!r} is not a version above {now}; give X.Y.Z")
    if _git(root, "status", "--porcelain"):
        raise ReleaseProblem("the checkout has changes; commit them first")
    changes = (root / CHANGELOG).read_text("utf-8")
    found = _OPEN.search(changes)
    if found is None or not re.search(r"^- ", found[1], re.MULTILINE):
        raise ReleaseProblem(
            f"{CHANGELOG} has no entry under Unreleased; say what changed for users"
        )
    closed = f"## Unreleased\n\nNothing yet.\n\n## {version} - {today}\n{found[1]}"
    (root / CHANGELOG).write_text(_OPEN.sub(lambda _: closed, changes, count=1), "utf-8")
    write(root, version)
    _git(root, "commit", "--quiet", "--all", "--message", f"Version {version}")
    _git(root, "tag", "--annotate", f"v{version}", "--message", f"Nightshelf {version}")


def write(root: Path, version: str) -> None:
    """Write a version into every place."""
    for name, before in PLACES.items():
        path = root / name
        text = path.read_text("utf-8")
        path.write_text(
            re.sub(f"({before}){_NUMBER}", rf"\g<1>{version}", text, flags=re.MULTILINE)
        )


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=root, check=True, stdout=subprocess.PIPE, text=True
    )
    return done.stdout


def main() -> None:
    """Cut the version of the command line; a problem ends with 2."""
    if len(sys.argv) != 1 + 1:
        sys.exit("usage: make release VERSION=X.Y.Z")
    try:
        run(ROOT, sys.argv[1], str(datetime.now(UTC).date()))
    except ReleaseProblem as problem:
        print(f"error: {problem}", file=sys.stderr)
        sys.exit(2)
    print(
        f"version {sys.argv[1]} is committed and tagged; deploy/containers/stack.sh build makes its images"
    )


if __name__ == "__main__":
    main()
