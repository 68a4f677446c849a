"""The data-quality pages: what they say, that they need nothing but themselves, and that people can read them."""

import json
import re
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.pipeline import validate
from jobs.reports import data_report, data_sections
from jobs.reports.rendering import render
from jobs.runtime.artifacts import ReleaseFolder
from jobs.runtime.errors import BrokenInput, NightshelfError
from jobs.validation.bounds import Bounds
from jobs.validation.result import TABLES, Table
from schemas import tables as t
from tests.harness import good_tables, html_page
from tests.harness.good_tables import change

HOSTILE = '</td><script>alert("1")</script><img src=x onerror=alert(2)> & "quoted"'
STYLE = Path(data_report.__file__).parent / "templates" / "style.css"


def judge(
    folder: ReleaseFolder,
    tables: tuple[Table, ...] = TABLES,
    reference: ReleaseFolder | None = None,
    bounds: Bounds | None = None,
) -> None:
    """Validate tables, whatever they come to."""
    for table in tables:
        try:
            with data_report.written(folder):
                validate.run(
                    folder,
                    table,
                    reference,
                    bounds=bounds or Bounds(),
                    max_reject_share=0.05,
                    run_by="a test",
                )
        except NightshelfError as error:
            assert error.exit_code in {1, 3}  # noqa: PT017  # either may happen, and nothing else


@pytest.fixture(scope="module")
def releases(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ReleaseFolder]:
    """Three days: the first good, the second with bad data and bad rows, the third with a crash."""
    root = tmp_path_factory.mktemp("artifacts") / "releases"
    good = good_tables.write_release(root, "2026-03-01", users=22)
    bad = good_tables.write_release(root, "2026-03-02")
    crashed = good_tables.write_release(root, "2026-03-03")
    judge(good)
    change(bad.interactions, t.INTERACTIONS, lambda rows: rows[4].update({t.RATING: 9}))
    change(bad.books, t.BOOKS, lambda rows: rows.append({**rows[0], t.TITLE: " "}))
    rejected = [
        {t.FILE: HOSTILE, t.ROW: row, t.REASON: reason, t.RAW: HOSTILE}
        for row, reason in enumerate(["unknown_book"] * 7 + ["superseded"] * 3)
    ]
    change(bad.rejects, t.REJECTS, lambda rows: rows.extend(rejected))
    judge(bad, ("interactions", "books"), good)
    decision = {"release": bad.release, "verdict": "hold", "reasons": []}
    bad.decision.write_text(json.dumps(decision), "utf-8")
    change(crashed.lists, t.LISTS, lambda rows: rows[0].update({t.SOURCE: HOSTILE}))
    judge(crashed, ("books",), bounds=Bounds(earliest_year=4000))
    judge(crashed, ("lists",))
    data_report.run(bad)
    return {"good": good, "bad": bad, "crashed": crashed}


def pages(releases: dict[str, ReleaseFolder]) -> dict[str, str]:
    """Return the text of every page, by path."""
    root = releases["good"].root.parent
    found = {str(path.relative_to(root)): path.read_text("utf-8") for path in root.rglob("*.html")}
    assert found, "there is no page"
    return found


def text_of(folder: ReleaseFolder) -> str:
    """Return the words of a release's page, with single spaces."""
    page = html_page.read((folder.root / "report.html").read_text("utf-8"))
    return re.sub(r"\s+", " ", "".join(page.text))


def test_every_page_is_there(releases: dict[str, ReleaseFolder]) -> None:
    """There is a page a release, a page for each judged table, and the index."""
    # 3 reports, 3 + 2 + 2 tables, 1 index
    assert len(pages(releases)) == 11


def test_no_page_asks_for_anything(releases: dict[str, ReleaseFolder]) -> None:
    """No attribute and no style names anything outside the page, and no address of a host stands in it."""
    for name, html in pages(releases).items():
        page = html_page.read(html)
        assert page.outside == [], name
        links = [link for link in page.links if "//" in link or link.startswith("javascript")]
        assert links == [], name
        assert not re.search(r"https?:", html), name


def test_links_between_pages_lead_somewhere(releases: dict[str, ReleaseFolder]) -> None:
    """Every link leads to a page or a place on the page that is there."""
    root = releases["good"].root.parent
    for name, html in pages(releases).items():
        for link in html_page.read(html).links:
            if not link.startswith("#"):
                assert ((root / name).parent / link).resolve().is_file(), (name, link)


def test_pages_are_built_for_everybody(releases: dict[str, ReleaseFolder]) -> None:
    """Ids are unique, headings and landmarks in order, tables captioned and scoped, pictures labelled."""
    for name, html in pages(releases).items():
        assert html_page.structure_problems(html_page.read(html)) == [], name


def test_a_page_can_be_skipped_into(releases: dict[str, ReleaseFolder]) -> None:
    """The first link jumps to the content."""
    for html in pages(releases).values():
        page = html_page.read(html)
        assert page.links[0] == "#main"
        assert page.all("main")[0]["id"] == "main"


def test_text_from_the_data_is_escaped(releases: dict[str, ReleaseFolder]) -> None:
    """Markup in file names, rows and values of the data is shown as text and never becomes an element."""
    for name, html in pages(releases).items():
        page = html_page.read(html)
        assert page.all("script") == [], name
        assert page.all("img") == [], name
        assert not [a for _, a in page.elements if any(key.startswith("on") for key in a)], name
    assert '</td><script>alert("1")</script>' in text_of(releases["bad"])
    assert '</td><script>alert("1")</script>' in text_of(releases["crashed"])


def test_failures_stand_at_the_top_with_what_was_observed(
    releases: dict[str, ReleaseFolder],
) -> None:
    """The page says what is not met, in words, before anything else."""
    text = text_of(releases["bad"])
    stated = text.index("Every rating is 1 to 5. Observed: 1 of 240 ratings are outside")
    assert text.index("Failed") < stated < text.index("How the day differs")
    assert "No two cards have the same book id. Observed: 2 of 31 cards share an id" in text
    assert "Finished lists · – Not validated" in text


def test_rejects_are_told_by_reason_with_examples(releases: dict[str, ReleaseFolder]) -> None:
    """Each reason has its words, its number and at most five examples."""
    text = text_of(releases["bad"])
    assert re.search(r"The book is not in the catalogue .* Bad row 7", text)
    assert re.search(r"The user rated the book anew later .* Resolved repeat 3", text)
    assert len(re.findall(r", row \d", text)) == 5 + 3


def test_the_day_is_compared_with_its_reference(releases: dict[str, ReleaseFolder]) -> None:
    """Counts stand beside the reference's: 24 users rated 10 books each, 22 did the day before."""
    text = text_of(releases["bad"])
    # 240 / 220 and 24 / 22 are both 1.0909; the one rating of 9 does not count among 1 to 5.
    assert "Ratings 240 220 +9.1 %" in text
    assert "Users 24 22 +9.1 %" in text
    assert "Rated books 30 30 0 %" in text
    assert "Arrived since the reference: 240 ratings, 24 users, 30 rated books" in text
    labels = [
        svg["aria-label"] for svg in html_page.read(pages(releases)[_name(releases)]).all("svg")
    ]
    assert len(labels) == 4
    assert "Ratings 240 220 +9.1 %" in labels[0]


def _name(releases: dict[str, ReleaseFolder]) -> str:
    return f"{releases['bad'].release}/report.html"


def test_without_a_reference_the_day_stands_alone(releases: dict[str, ReleaseFolder]) -> None:
    """The first day shows its own numbers and plots and says that there is no reference."""
    text = text_of(releases["good"])
    assert "compared with no other release" in text
    assert "The day in numbers" in text
    assert "Ratings 220 " in text


def test_a_crash_is_called_a_crash(releases: dict[str, ReleaseFolder]) -> None:
    """A crash outweighs a failure and is never called bad data."""
    text = text_of(releases["crashed"])
    assert "Crashed: a check could not be carried out" in text
    assert "Ratings · – Not validated" in text


def test_the_index_lists_every_release(releases: dict[str, ReleaseFolder]) -> None:
    """The index has all days, the newest first, with state, verdict and numbers."""
    page = html_page.read(pages(releases)["index.html"])
    order = [releases[name].release for name in ("crashed", "bad", "good")]
    assert [link for link in page.links if link != "#main"] == [
        f"{release}/report.html" for release in order
    ]
    text = re.sub(r"\s+", " ", "".join(page.text))
    assert re.search(r"2026-03-02 ?\w{8} ✕ Failed.* hold 240", text)
    assert re.search(r"2026-03-01 ?\w{8} ✓ Passed – 220", text)


def test_a_table_that_changed_is_not_shown_as_good(tmp_path: Path) -> None:
    """After a judged file has changed, the page says so instead of repeating the old answer."""
    folder = good_tables.write_release(tmp_path)
    judge(folder)
    assert data_report.run(folder).status == "passed"

    def later(rows: list[good_tables.Row]) -> None:
        rows[-1][t.ARRIVED_AT] += timedelta(seconds=1)

    change(folder.interactions, t.INTERACTIONS, later)
    assert data_report.run(folder).status == "changed"
    assert "Changed since" in text_of(folder)


def test_a_release_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Asking for the report of an unknown release is broken input."""
    with pytest.raises(BrokenInput, match="there is no release"):
        data_report.run(ReleaseFolder(tmp_path / "2026-03-01-0123abcd"))


def test_a_browser_loads_nothing_and_needs_no_sideways_scrolling(
    releases: dict[str, ReleaseFolder], tmp_path: Path
) -> None:
    """In Chromium at the width of a small phone, the page fits, has its plots, and loads no resource."""
    chromium = shutil.which("chromium")
    assert chromium is not None, "chromium is missing; `make packages` installs it"
    # Measured from a page around it, so that the tested page itself stays free of scripts.
    shown = [releases[name].root / "report.html" for name in releases]
    shown += [releases["good"].root.parent / "index.html", _crowded_index(tmp_path)]
    frames = "".join(f"<iframe width=360 height=800 src='{path}'></iframe>" for path in shown)
    around = tmp_path / "around.html"
    around.write_text(
        f"""<!doctype html>{frames}<pre></pre><script>
        onload = () => document.querySelector('pre').textContent = [...document.querySelectorAll('iframe')]
            .map(frame => [frame.contentDocument.documentElement.scrollWidth,
                frame.contentWindow.performance.getEntriesByType('resource').length,
                [...frame.contentDocument.querySelectorAll('svg')].filter(svg => svg.getBBox().height > 50).length])
            .join(';')</script>""",
        "utf-8",
    )
    done = subprocess.run(
        [
            chromium,
            *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--dump-dom"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            "--hide-scrollbars",
            *("--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}"),
            f"file://{around}",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    found = re.search(r"<pre>(.*)</pre>", done.stdout)
    assert found is not None
    assert found[1] == "360,0,4;360,0,4;360,0,0;360,0,0;360,0,0"


def _crowded_index(folder: Path) -> Path:
    """Write an index of one release with the widest words and numbers that there are."""
    section = {"title": "Finished lists", "status": "changed"}
    run = {
        "release": "2026-03-01-0123abcd",
        "partition": "2026-03-01",
        "overall": "changed",
        "sections": [section],
        "verdict": "hold",
        "model_has_page": True,
        "numbers": dict.fromkeys(("Ratings", "Users"), ("5,976,479", "+11.1 %")),
    }
    marks = {"table_marks": data_sections.TABLE_MARKS, "stop_mark": data_sections.STOP_MARK}
    text = "1,234,567 of 12,345,678 rows are bad (1,234,567 arrived_after_its_day); 5% are allowed"
    stop = {"stop": "2026-03-02-0123abcd", "partition": "2026-03-02", "problem": {"what": text}}
    templates = Path(data_sections.__file__).with_name("templates")
    path = folder / "crowded.html"
    path.write_text(
        render(templates, "index.html", {**marks, "runs": [run], "stops": [stop]}), "utf-8"
    )
    return path


def _luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: str, other: str) -> float:
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("mode", [0, 1])
def test_colours_have_enough_contrast(mode: int) -> None:
    """In light and in dark, text has a contrast of 4.5 and what is drawn one of 3 (WCAG 2.2, level AA)."""
    block = re.findall(r":root \{(.*?)\}", STYLE.read_text("utf-8"), re.DOTALL)[mode]
    colours = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", block))
    for ground in ("paper", "raised"):
        for text in ("ink", "muted", "link"):
            assert _contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for state in ("good", "bad", "broken"):
        assert _contrast(colours[state], colours["paper"]) >= 4.5, state
        assert _contrast(colours[state], colours[f"{state}-ground"]) >= 4.5, state
        assert _contrast(colours["ink"], colours[f"{state}-ground"]) >= 4.5, state
    for drawn in ("own", "reference", "recent"):
        assert _contrast(colours[drawn], colours["paper"]) >= 3, drawn
