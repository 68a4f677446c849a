"""A matplotlib figure as SVG that stands inside a page and takes the page's colours.

In: a figure drawn with the colours of this module. Out: an `<svg>` element as markup. Guarantees that nothing in it
points outside the page, that its ids are unique to its name, that it follows light and dark, and that a screen
reader hears one label instead of every tick.
"""

import atexit
import io
import os
import re
import shutil
import tempfile
import xml.etree.ElementTree as ET
from dataclasses import dataclass

from markupsafe import Markup

if "MPLCONFIGDIR" not in os.environ:
    # Matplotlib would leave a font cache in the home folder; building it again takes 0.2 s.
    _CACHE = tempfile.mkdtemp(prefix="nightshelf-fonts-")
    os.environ["MPLCONFIGDIR"] = _CACHE
    atexit.register(shutil.rmtree, _CACHE, ignore_errors=True)

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Colours to draw with, each a stand-in for a variable of style.css.
INK = "#010101"
MUTED = "#020202"
RULE = "#030303"
OWN = "#040404"
REFERENCE = "#050505"
RECENT = "#060606"
PAPER = "#070707"

_VARIABLES = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    RULE: "var(--rule)",
    OWN: "var(--own)",
    REFERENCE: "var(--reference)",
    RECENT: "var(--recent)",
    PAPER: "var(--paper)",
}
_POINTS_AN_INCH = 72
_FONT_FAMILY = re.compile(r"font-family:[^;]*")


@dataclass(frozen=True)
class Plot:
    """A plot as `figure` in parts.html shows it; `columns` and `rows` are its numbers as text."""

    title: str
    note: str
    svg: Markup
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def blank(width: float, height: float) -> tuple[Figure, Axes]:
    """Return an empty figure of the given size in page units (a phone is about 340 wide) and its axes."""
    figure = Figure(
        figsize=(width / _POINTS_AN_INCH, height / _POINTS_AN_INCH), layout="constrained"
    )
    axes = figure.add_subplot()
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, labelsize=11, colors=MUTED)
    axes.set_axisbelow(True)
    return figure, axes


def svg(figure: Figure, name: str, label: str) -> Markup:
    """Return the figure as an `<svg>` element.

    Args:
        figure: drawn with the colours of this module.
        name: unique on the page; letters, digits and hyphens.
        label: what the figure shows, in words with its numbers, for people who do not see it.
    """
    for axes in figure.axes:
        for artist in axes.get_children():
            # Outlines stand half outside their axes.
            artist.set_clip_on(False)
    written = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    root = ET.fromstring(written.getvalue())  # noqa: S314  # written by matplotlib just now
    for parent in list(root.iter()):
        for element in list(parent):
            # Its style would reach the page; its metadata names addresses.
            if _local(element.tag) in {"metadata", "style"}:
                parent.remove(element)
    for element in root.iter():
        _adapt(element, name)
    root.attrib = {
        "viewBox": root.attrib["viewBox"],
        "role": "img",
        "aria-label": label,
        "style": "stroke-linejoin: round; stroke-linecap: butt",
    }
    return Markup(ET.tostring(root, encoding="unicode"))  # noqa: S704  # escaped by ElementTree


def _adapt(element: ET.Element, name: str) -> None:
    element.tag = _local(element.tag)
    attributes = {_local(key): value for key, value in element.attrib.items()}
    if "id" in attributes:
        attributes["id"] = f"{name}-{attributes['id']}"
    for key, value in attributes.items():
        changed = value.replace("url(#", f"url(#{name}-")
        if key == "href":
            changed = value.replace("#", f"#{name}-", 1)
        if key in {"style", "fill", "stroke"}:
            changed = _FONT_FAMILY.sub("font-family: inherit", changed)
            for colour, variable in _VARIABLES.items():
                changed = changed.replace(colour, variable)
        attributes[key] = changed
    element.attrib = attributes


def _local(name: str) -> str:
    return name.rpartition("}")[2]
