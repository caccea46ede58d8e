"""A chart as SVG within a page: matplotlib's own, without what would disturb the page or be disturbed by it.

Colours become variables of the page's style sheet, letters use the page's font, and there are no ids, so charts on one page cannot
clash. Text stays text.
"""

from __future__ import annotations

import re
from io import StringIO
from threading import Lock
from typing import Final
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG

from trainer.charts.canvas import Draw, new_axes
from trainer.charts.palette import VARIABLES

_SVG: Final = "{http://www.w3.org/2000/svg}"
_HREF: Final = "{http://www.w3.org/1999/xlink}href"
_KEPT: Final = ("d", "x", "y", "transform")
_NO_ROTATION: Final = "rotate(-0 "
_DECIMALS: Final = re.compile(r"-?\d+\.\d{3,}")
_COLOUR: Final = re.compile(r"#[0-9a-f]{6}")
_NO_METADATA: Final = {"Creator": None, "Date": None, "Format": None, "Type": None}
# matplotlib has this setting for the whole process alone.
_SETTINGS_LOCK: Final = Lock()


def render_svg(draw: Draw, label: str, size: tuple[float, float], *, kind: str = "chart") -> str:
    """Draw a chart; the same marks give the same text, from any thread.

    Args:
        draw: Draws on the axes, inside them: nothing is cut off. Markers are circles.
        label: What it shows, for those who cannot see it.
        size: (width, height), units: CSS pixels where the page has room for them.
        kind: The element's class.

    Returns:
        An `<svg>` element that refers to nothing; what `canvas.name` named is a `<g>` with class and title.
    """
    figure, axes = new_axes(size)
    figure.patch.set_visible(False)
    draw(axes)
    written = StringIO()
    with _SETTINGS_LOCK, mpl.rc_context({"svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(written, metadata=_NO_METADATA)  # type: ignore[no-untyped-call]
    drawn = ET.fromstring(written.getvalue())  # noqa: S314 - matplotlib wrote it
    attributes = {"class": kind, "viewBox": drawn.attrib["viewBox"], "role": "img", "aria-label": label}
    svg = ET.Element("svg", attributes | {"stroke-linejoin": "round"})
    markers = {path.attrib["id"]: path.attrib["d"] for path in drawn.iter(f"{_SVG}path") if "id" in path.attrib}
    svg.extend(part for element in drawn for part in _parts(element, markers))
    return ET.tostring(svg, encoding="unicode")


def _parts(element: ET.Element, markers: dict[str, str]) -> list[ET.Element]:
    """What an element is on the page; of groups only the named ones are left."""
    tag = element.tag.removeprefix(_SVG)
    if tag in {"metadata", "defs"}:
        return []
    if tag == "use":
        return [_circle(element, markers)]
    parts = [part for child in element for part in _parts(child, markers)]
    kind, is_named, title = element.get("id", "").partition(": ")
    if tag == "g" and not is_named:
        return parts
    kept = ET.Element(tag, _attributes(element))
    if tag == "g":
        kept.set("class", kind)
        ET.SubElement(kept, "title").text = title
    else:
        kept.text = element.text
    kept.extend(parts)
    return [kept]


def _attributes(element: ET.Element) -> dict[str, str]:
    attributes: dict[str, str] = {key: _rounded(element.attrib[key]) for key in _KEPT if key in element.attrib}
    if attributes.get("transform", "").startswith(_NO_ROTATION):
        del attributes["transform"]
    if "style" in element.attrib:
        attributes["style"] = _style(element.attrib["style"])
    return attributes


def _style(style: str) -> str:
    """Without the font, which is the page's, and with its colours."""
    declarations = [part.strip() for part in style.split(";") if not part.strip().startswith("font-family")]
    return _COLOUR.sub(lambda found: _variable(found[0]), "; ".join(filter(None, declarations)))


def _variable(colour: str) -> str:
    return f"var({VARIABLES[colour]})" if colour in VARIABLES else colour


def _rounded(numbers: str) -> str:
    """To hundredths of a unit: nobody sees more, and the page gets smaller."""
    return _DECIMALS.sub(lambda found: f"{float(found[0]):.2f}", " ".join(numbers.split()))


def _circle(use: ET.Element, markers: dict[str, str]) -> ET.Element:
    """A marker; matplotlib begins the path of a circle with its radius: M 0 r."""
    radius = markers[use.attrib[_HREF].removeprefix("#")].split()[2]
    attributes = {"cx": _rounded(use.attrib["x"]), "cy": _rounded(use.attrib["y"]), "r": radius}
    return ET.Element("circle", attributes | {"style": _style(use.attrib["style"])})
