"""The page for people, in headless Chromium, behind NGINX, with real replicas."""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from deploy.nginx.configuration import PAGE_FILES
from tests.deploy.nginx.front import PATIENCE_S, Front
from tests.harness.releases import list_of

_MOST_BYTES = 50_000
Light = Literal["light", "dark"]
_DESK, _PHONE = (1280, 850), (360, 740)


class _Visit:
    """A page that was opened, what it asked for and what it complained of."""

    def __init__(self, browser: Browser, front: Front, size: tuple[int, int], light: Light) -> None:
        self._context = browser.new_context(
            viewport={"width": size[0], "height": size[1]}, color_scheme=light
        )
        self.page: Page = self._context.new_page()
        self.page.set_default_timeout(PATIENCE_S * 1000)
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console",
            lambda line: self.complaints.append(line.text) if line.type == "error" else None,
        )
        self.base = front.base
        self.page.goto(f"{front.base}/")
        self.wait()

    def wait(self) -> None:
        """Wait until a list is shown."""
        expect(self.page.locator("main[aria-busy=false] .entry").first).to_be_visible()

    def titles(self) -> list[str]:
        """Return the titles of the list, top to bottom."""
        return self.page.locator("#books > .entry > .book > .title").all_inner_texts()

    def close(self) -> None:
        """Close it; nothing was asked of anybody else, and nothing went wrong on it."""
        self._context.close()
        assert [url for url in self.asked if not url.startswith(self.base)] == []
        assert self.complaints == []


@pytest.fixture
def visit(chromium: Browser, front: Front) -> Iterator[_Visit]:
    """The page at the size of a desk."""
    found = _Visit(chromium, front, _DESK, "light")
    yield found
    found.close()


def _fits(page: Page) -> bool:
    """Say whether nothing has to be scrolled sideways."""
    return bool(
        page.evaluate(
            "document.documentElement.scrollWidth <= document.documentElement.clientWidth"
        )
    )


def test_a_reader_that_is_typed(visit: _Visit) -> None:
    """Their ten books in order with author, year and genre, where the list comes from and of which release."""
    page = visit.page
    page.fill("#reader", "7")
    page.click("text=Show")
    expect(page.locator("#heading")).to_have_text("For reader 7")
    visit.wait()
    assert visit.titles() == [f"Book {book}" for book in list_of(7)]
    first = list_of(7)[0]
    entry = page.locator(".entry").first
    expect(entry.locator(".by")).to_have_text(f"Author {first} · {2000 + first % 20}")
    expect(entry.locator(".tags")).to_have_text("history")
    release = page.evaluate(
        "fetch('/v1/users/7/recommendations').then(a => a.headers.get('X-Release'))"
    )
    expect(page.locator("#release")).to_have_text(f"Source als, release {release}")
    assert page.url.endswith("#reader/7")


def test_a_reader_that_nobody_knows_or_that_is_none(visit: _Visit) -> None:
    """An unknown one gets what is read most, and why; letters are refused at the field, and the list stays."""
    page = visit.page
    page.fill("#reader", "999999")
    page.keyboard.press("Enter")
    expect(page.locator("#release")).to_contain_text("Source popularity (unknown_user)")
    expect(page.locator("#origin")).to_contain_text("Nobody here knows this reader yet")
    page.fill("#reader", "seven")
    page.click("text=Show")
    expect(page.locator("#reader-problem")).to_have_text("A reader has a whole number, from 1 on.")
    assert page.get_attribute("#reader", "aria-invalid") == "true"
    assert len(visit.titles()) == 10


@pytest.mark.parametrize("source", ["als", "ease", "an-engine-of-tomorrow"])
def test_every_engine_s_list_is_personal(visit: _Visit, source: str) -> None:
    """Whatever engine made it: the badge and the words say so, and a rolled reader may have such a list."""
    page = visit.page
    _changed(page, "**/v1/users/7/**", {"source": source})
    page.goto(f"{visit.base}/#reader/7")
    expect(page.locator("#release")).to_contain_text(f"Source {source},")
    expect(page.locator("#origin")).to_have_text("personal Chosen from what this reader has rated.")
    assert "personal" in str(page.get_attribute(".badge", "class"))
    _rolled_alone(page, user=11, source=source)
    page.click("#roll")
    expect(page.locator("#heading")).to_have_text("For reader 11")


def test_a_reader_with_nothing_left(visit: _Visit) -> None:
    """The page says that all is rated, still calls the list personal, and shows no book."""
    page = visit.page
    _changed(page, "**/v1/users/7/**", {"reason": "catalogue_exhausted", "items": []})
    page.goto(f"{visit.base}/#reader/7")
    expect(page.locator("#origin")).to_have_text(
        "personal This reader has rated every book here: nothing is left to recommend."
    )
    expect(page.locator("#release")).to_contain_text("Source als (catalogue_exhausted)")
    assert visit.titles() == []


@pytest.mark.parametrize("fragment", ["%", "reader/%E0%A4%A", "popular/%zz", "reader/7%", "%00"])
def test_a_malformed_fragment(visit: _Visit, fragment: str) -> None:
    """It stands for nothing: the popular list is shown, and the page goes on working."""
    page = visit.page
    page.goto(f"{visit.base}/#reader/7")
    expect(page.locator("#heading")).to_have_text("For reader 7")
    page.goto(f"{visit.base}/#{fragment}")
    expect(page.locator("#heading")).to_have_text("Popular")
    visit.wait()
    page.fill("#reader", "8")
    page.keyboard.press("Enter")
    expect(page.locator("#heading")).to_have_text("For reader 8")


def _changed(page: Page, address: str, content: dict[str, object]) -> None:
    """Have the page get real answers in which some things are others."""

    def answer(asked: Route) -> None:
        real = asked.fetch()
        asked.fulfill(response=real, json={**real.json(), **content})

    page.route(address, answer)


def _rolled_alone(page: Page, *, user: int, source: str) -> None:
    """Have the page find one reader with a list of an engine among those that it asks for."""
    results = [
        {"user_id": 10, "source": "popularity", "reason": "unknown_user", "items": []},
        {"user_id": user, "source": source, "reason": None, "items": []},
    ]
    page.route("**/v1/recommendations?*", lambda asked: asked.fulfill(json={"results": results}))


def test_a_reader_that_is_rolled(visit: _Visit) -> None:
    """One that has a list of their own."""
    visit.page.click("#roll")
    expect(visit.page.locator("#heading")).to_contain_text("For reader ")
    expect(visit.page.locator("#release")).to_contain_text("Source als,")
    assert 1 <= int(visit.page.input_value("#reader")) <= 30


def test_similar_books_on_a_click(visit: _Visit) -> None:
    """They open below the book and close again; the button says so."""
    page = visit.page
    button = page.get_by_role("button", name="Similar books to").first
    book = int(visit.titles()[0].removeprefix("Book "))
    button.click()
    near = page.locator(f"#similar-{book} .title")
    expect(near).to_have_text([f"Book {other}" for other in list_of(book)[:5]])
    assert button.get_attribute("aria-expanded") == "true"
    button.click()
    expect(near.first).to_be_hidden()


def test_popular_by_genre_and_back(visit: _Visit) -> None:
    """A genre has an address of its own, and the browser's way back leads to the list before."""
    page = visit.page
    page.click("#genres >> text=fantasy")
    expect(page.locator("#heading")).to_have_text("Fantasy")
    visit.wait()
    expect(page.locator("#genres [aria-current]")).to_have_text("fantasy")
    assert page.url.endswith("#popular/fantasy")
    page.go_back()
    expect(page.locator("#heading")).to_have_text("Popular")


def test_by_keyboard_alone(visit: _Visit) -> None:
    """From the skip link on: a list, its similar books and a genre, without a mouse and with the focus in sight."""
    page = visit.page

    def focused() -> str:
        return str(page.evaluate("(e => e.id || e.textContent.trim())(document.activeElement)"))

    order = []
    for _ in range(5):
        page.keyboard.press("Tab")
        order.append(focused())
    assert order == ["Skip to the books", "Nightshelf", "reader", "Show", "roll"]
    page.focus("#reader")
    page.keyboard.type("12")
    page.keyboard.press("Enter")
    expect(page.locator("#heading")).to_have_text("For reader 12")
    visit.wait()
    page.focus(".more")
    page.keyboard.press("Enter")
    expect(page.locator(".similar:not([hidden]) .title")).to_have_count(5)
    page.focus("#genres >> text=history")
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
    page.keyboard.press("Enter")
    expect(page.locator("#heading")).to_have_text("History")


@pytest.mark.parametrize(
    ("size", "light"), [(_DESK, "light"), (_DESK, "dark"), (_PHONE, "light"), (_PHONE, "dark")]
)
def test_it_fits(
    chromium: Browser, front: Front, tmp_path: Path, size: tuple[int, int], light: Light
) -> None:
    """On a desk and on a phone, by day and by night: nothing is cut off, buttons are large enough for a thumb."""
    visit = _Visit(chromium, front, size, light)
    page = visit.page
    page.fill("#reader", "7")
    page.keyboard.press("Enter")
    expect(page.locator("#heading")).to_have_text("For reader 7")
    visit.wait()
    page.get_by_role("button", name="Similar books to").first.click()
    expect(page.locator(".similar:not([hidden]) .title")).to_have_count(5)
    page.screenshot(path=tmp_path / f"{size[0]}-{light}.png")
    assert _fits(page)
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 24
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    ink = page.evaluate("getComputedStyle(document.body).color")
    brightness = [sum(map(int, colour[4:-1].split(","))) for colour in (paper, ink)]
    assert (brightness[0] < brightness[1]) == (light == "dark")
    visit.close()


def test_it_is_small(front: Front) -> None:
    """All its files together are under 50 kB."""
    sizes = [len(front.get(f"/{name}").body) for name in ("", *PAGE_FILES[1:])]
    assert sum(sizes) < _MOST_BYTES
