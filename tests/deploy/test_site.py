"""The documentation site: `make docs`."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from deploy import site
from serving import openapi

ROOT = Path(__file__).parents[2]
#: What makes a browser fetch something; a link that a person may follow does not.
_LOADED = re.compile(
    r"<(?:script|img|iframe|source|link)\b[^>]*?(?:src|href)=[\"']?((?:https?:)?//[^\"' >]+)"
)


@pytest.fixture(scope="module")
def built() -> Path:
    """The site, built anew."""
    shutil.rmtree(site.SITE, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "deploy.site"], cwd=ROOT, check=True)
    return site.SITE


def test_every_page_is_there_and_loads_nothing_from_elsewhere(built: Path) -> None:
    """All documents have a page; no page makes a browser ask another host."""
    pages = {str(path.relative_to(built)) for path in built.rglob("*.html")}
    expected = {name.replace(".md", ".html") for name in site.BESIDE.values()}
    expected |= {
        str(path.relative_to(ROOT / "docs").with_suffix(".html"))
        for path in (ROOT / "docs").rglob("*.md")
    }
    assert {name.replace("README.html", "index.html") for name in expected} <= pages
    for name in pages:
        asked = _LOADED.findall((built / name).read_text("utf-8"))
        assert [one for one in asked if "canonical" not in one] == [], name
    for sheet in built.rglob("*.css"):
        assert not re.search(r"url\([\"']?(?:https?:)?//", sheet.read_text("utf-8")), sheet


def test_the_api_reference_names_every_path(built: Path) -> None:
    """Paths, parameters and answers come from the description that a replica serves."""
    text = re.sub(r"<[^>]+>", "", (built / "api.html").read_text("utf-8"))
    for path in openapi.DOCUMENT["paths"]:
        assert path in text
