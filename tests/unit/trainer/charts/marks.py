"""What a chart in SVG shows: its marks with their titles and places, and its words."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree as ET


@dataclass(frozen=True)
class Mark:
    """A named mark; `points` are the corners of its path."""

    title: str
    points: tuple[tuple[float, float], ...]
    style: str

    @property
    def left(self) -> float:
        return min(x for x, _ in self.points)

    @property
    def right(self) -> float:
        return max(x for x, _ in self.points)


def marks(svg: str, kind: str) -> list[Mark]:
    """The marks of a class, in the order they are drawn; of a chart in two widths, the wide one's."""
    found = [group for group in wide(svg).iter("g") if group.get("class") == kind]
    return [_mark(group) for group in found]


def words(svg: str) -> list[str]:
    """Each piece of text that is seen."""
    return [text.text or "" for text in wide(svg).iter("text")]


def wide(svg: str) -> ET.Element:
    return ET.fromstring(f"<charts>{svg}</charts>")[0]  # noqa: S314 - our own output


def _mark(group: ET.Element) -> Mark:
    paths = list(group.iter("path"))
    points = [
        (float(x), float(y))
        for path in paths
        for x, y in re.findall(r"(-?[\d.]+) (-?[\d.]+)(?= [A-Zz]|$)", path.get("d", ""))
    ]
    return Mark(group.findtext("title") or "", tuple(points), paths[0].get("style", "") if paths else "")


def threshold_x(svg: str) -> float:
    """Where the dashed line in the colour of letters stands."""
    (line,) = [p for p in wide(svg).iter("path") if "dasharray" in p.get("style", "") and "--ink" in p.get("style", "")]
    (x, _), (same, _) = re.findall(r"([\d.]+) ([\d.]+)", line.get("d", ""))
    assert x == same
    return float(x)
