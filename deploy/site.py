"""Build the documentation site: the pages of docs/, the README files and guides, and the API's reference.

In: the checkout. Out: static pages in `.run/site`. A broken link between pages fails the build (strict mode).
Links to source files become plain text. No page loads anything from another host (tests/deploy/test_site.py).

    python -m deploy.site
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
SOURCE, SITE = ROOT / ".run" / "site-source", ROOT / ".run" / "site"

#: Pages that stand beside what they are about, and their name in the site.
BESIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
    "jobs/README.md": "jobs.md",
    "serving/README.md": "edge.md",
    "dags/README.md": "dags.md",
    "monitoring/README.md": "monitoring.md",
    "monitoring/runbook.md": "runbook.md",
    "monitoring/faults.md": "faults.md",
    "deploy/containers/README.md": "containers.md",
    "deploy/containers/guides.md": "guides.md",
    "deploy/nginx/README.md": "nginx.md",
    "deploy/kubernetes/README.md": "kubernetes.md",
}
_LINK = re.compile(r"\[([^\]]+)\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")


def main() -> None:
    """Write the pages' sources and build them."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    pages = BESIDE | {
        str(path.relative_to(ROOT)): str(path.relative_to(ROOT / "docs"))
        for path in sorted((ROOT / "docs").rglob("*.md"))
    }
    for name, page in pages.items():
        target = SOURCE / "docs" / page
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(linked((ROOT / name).read_text("utf-8"), name, pages), "utf-8")
    (SOURCE / "docs" / "api.md").write_text(reference(), "utf-8")
    shutil.copyfile(ROOT / "docs" / "zensical.toml", SOURCE / "zensical.toml")
    program = str(Path(sys.executable).with_name("zensical"))
    subprocess.run([program, "build", "--strict", "--clean"], cwd=SOURCE, check=True)
    shutil.rmtree(SITE, ignore_errors=True)
    (SOURCE / "site").rename(SITE)
    print(f"documentation: {SITE}/index.html")


def linked(text: str, name: str, pages: dict[str, str]) -> str:
    """Return a page whose links name pages of the site; what is no page becomes the link's text.

    Raises SystemExit for a link to a file that does not exist.
    """
    here = Path(name).parent

    def one(found: re.Match[str]) -> str:
        label, target, anchor = found[1], found[2], found[3] or ""
        path = os.path.normpath(here / target)
        if not (ROOT / path).exists():
            raise SystemExit(f"error: a link to nothing\n  where: {name}: {target}\n  do: fix it")
        page = pages.get(path) or pages.get(f"{path}/README.md")
        if page is None:
            return label
        return f"[{label}]({os.path.relpath(page, Path(pages[name]).parent)}{anchor})"

    return _LINK.sub(one, text)


def reference() -> str:
    """Return the API's reference as Markdown, from the OpenAPI description that an edge replica serves."""
    from serving.openapi import DOCUMENT  # noqa: PLC0415  # the rest of this module needs no environment

    lines = ["# API", "", DOCUMENT["info"]["description"], ""]
    for path, methods in DOCUMENT["paths"].items():
        operation = methods["get"]
        lines += [f"## `GET {path}`", "", operation["summary"], ""]
        lines += _table(
            "parameter | in | values",
            [
                (f"`{p['name']}`", p["in"], f"`{json.dumps(_resolved(DOCUMENT, p['schema']))}`")
                for p in operation["parameters"]
            ],
        )
        lines += _table(
            "status | answer",
            [
                (status, _resolved(DOCUMENT, answer)["description"])
                for status, answer in operation["responses"].items()
            ],
        )
    return "\n".join(lines)


def _table(head: str, rows: list[tuple[str, ...]]) -> list[str]:
    if not rows:
        return []
    ruler = "|".join("---" for _ in head.split("|"))
    return [f"| {head} |", f"|{ruler}|", *(f"| {' | '.join(row)} |" for row in rows), ""]


def _resolved(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    for step in part.get("$ref", "").removeprefix("#/").split("/"):
        document = document[step] if step else document
    return document if "$ref" in part else part


if __name__ == "__main__":
    main()
