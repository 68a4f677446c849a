"""Reads a page as a browser and a screen reader would, for tests of self-contained HTML.

In: HTML text. Out: its elements, text, ids, outside addresses, and what is wrong with its structure. Guarantees that
every attribute and every style is looked at, also inside inlined SVG.
"""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from itertools import pairwise

_VOID = {"meta", "link", "br", "img", "hr", "input"}
_ADDRESSES = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background"}
_IN_STYLE = re.compile(r"url\(\s*['\"]?([^)'\"]*)|@import\s+['\"]?([^;'\"]+)")


@dataclass
class Page(HTMLParser):
    """What a page holds; `links` are the addresses of `<a>`, `fetched` those a browser would load by itself."""

    elements: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    text: list[str] = field(default_factory=list)
    unclosed: list[str] = field(default_factory=list)
    wrong_ends: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(convert_charrefs=True)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        if tag not in _VOID:
            self.unclosed.append(tag)
        for name, value in attributes.items():
            if name in _ADDRESSES:
                (self.links if tag == "a" else self.fetched).append(value)
            self._style(value)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self.unclosed.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self.text.append(" ")
        if self.unclosed and self.unclosed[-1] == tag:
            self.unclosed.pop()
        else:
            self.wrong_ends.append(tag)

    def handle_data(self, data: str) -> None:
        if self.unclosed and self.unclosed[-1] == "style":
            self._style(data)
        else:
            self.text.append(data)

    def _style(self, text: str) -> None:
        self.fetched.extend(one or other for one, other in _IN_STYLE.findall(text))

    @property
    def ids(self) -> list[str]:
        """Every id, in order."""
        return [attributes["id"] for _, attributes in self.elements if "id" in attributes]

    @property
    def references(self) -> set[str]:
        """Ids that something on the page points to."""
        named = {
            part
            for _, attributes in self.elements
            for name in ("aria-labelledby", "aria-describedby", "for")
            for part in attributes.get(name, "").split()
        }
        pointed = {one[1:] for one in (*self.links, *self.fetched) if one.startswith("#")}
        return named | pointed

    @property
    def outside(self) -> list[str]:
        """Addresses a browser would load that are not within the page."""
        return [one for one in self.fetched if not one.startswith(("#", "data:"))]

    def all(self, tag: str) -> list[dict[str, str]]:
        """Return the attributes of every element of a kind."""
        return [attributes for name, attributes in self.elements if name == tag]


def read(html: str) -> Page:
    """Return a page's content."""
    page = Page()
    page.feed(html)
    page.close()
    return page


def structure_problems(page: Page) -> list[str]:
    """Return what a screen reader, a keyboard or a validator would stumble over."""
    problems = [f"unclosed {page.unclosed}"] if page.unclosed else []
    problems += [f"stray end {tag}" for tag in page.wrong_ends]
    problems += [f"repeated id {one}" for one in {i for i in page.ids if page.ids.count(i) > 1}]
    problems += [f"nothing has the id {one}" for one in page.references - set(page.ids)]
    problems += [f"{tag} without a label" for tag, a in page.elements if _unlabelled(tag, a)]
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    if levels[:1] != [1] or levels.count(1) != 1:
        problems.append(f"headings {levels} do not begin with the only h1")
    steps = pairwise(levels)
    problems += [f"heading level {a} is followed by {b}" for a, b in steps if b > a + 1]
    problems += [
        f"{len(page.all(tag))} {tag}" for tag in ("main", "title") if len(page.all(tag)) != 1
    ]
    if not page.all("html")[0].get("lang"):
        problems.append("no language")
    if len(page.all("caption")) != len(page.all("table")):
        problems.append("a table without a caption")
    problems += ["a header cell without a scope" for a in page.all("th") if "scope" not in a]
    if page.all("script"):
        problems.append("a script")
    return problems


def _unlabelled(tag: str, attributes: dict[str, str]) -> bool:
    named = attributes.get("aria-label") or attributes.get("aria-labelledby")
    needs = tag in {"svg", "nav", "section"} or attributes.get("role") in {"img", "region"}
    return needs and not named
