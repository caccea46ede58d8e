"""The contact sheet: the pictures that were chosen, small, with name and remark, as one PNG or in an HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR, Colour
from trainer.check.result import CheckResult
from trainer.check.selection import SheetGroup, Shown
from trainer.check.words import lines, verdict
from trainer.display.lettering import INK, PAPER, SOFT, draw_text, shorten
from trainer.display.picture import data_uri
from trainer.wording import printable

TILE: Final = 200
"""Side of the square that a picture is fitted into, pixels."""
_COLUMNS: Final = 6
_GAP: Final = 16
_NAME, _CAPTION, _HEAD, _TITLE = 13, 12, 20, 26
_TEXT: Final = 44
"""Pixels below a picture for its two lines."""

Thumbnail = Callable[[Shown], NDArray[np.uint8]]
"""Reads a picture, its longest side TILE, (H, W, 3) RGB uint8, with the outline of its mask where it has one."""


@dataclass(frozen=True, slots=True)
class PageGroup:
    """A group as the page shows it."""

    title: str
    tiles: Sequence[tuple[str, str, str, str]]
    """Source of the picture, name, remark and label."""


def draw_sheet(result: CheckResult, groups: Sequence[SheetGroup], thumbnail: Thumbnail) -> NDArray[np.uint8]:
    """Draw the groups below one another, six pictures in a row.

    Returns:
        (H, W, 3) RGB uint8.
    """
    width = _GAP + _COLUMNS * (TILE + _GAP)
    strips = [_head(f"{result.source}: {result.tally.taken} images", width, _TITLE)]
    strips.append(_head(verdict(result).split(":")[0], width, _NAME + 2, bold=False))
    for group in groups:
        strips.append(_head(group.title, width, _HEAD))
        starts = range(0, len(group.pictures), _COLUMNS)
        strips += [_row(group.pictures[start : start + _COLUMNS], width, thumbnail) for start in starts]
    return np.vstack(strips)


def render_page(result: CheckResult, groups: Sequence[SheetGroup], thumbnail: Thumbnail) -> str:
    """One HTML page with all that was found and the pictures, which are inlined; no script."""
    environment = Environment(
        loader=PackageLoader("trainer.check"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = [
        PageGroup(
            group.title,
            [
                (data_uri(thumbnail(one)), printable(one.image.name), one.caption, one.image.label or "")
                for one in group.pictures
            ],
        )
        for group in groups
    ]
    template = environment.get_template("check.html.jinja")
    return template.render(
        result=result, source=printable(result.source), verdict=verdict(result), lines=lines(result), groups=shown
    )


def _head(text: str, width: int, size: int, *, bold: bool = True) -> NDArray[np.uint8]:
    strip = np.full((round(2 * size), width, 3), PAPER, np.uint8)
    draw_text(
        strip,
        shorten(printable(text), width - 2 * _GAP, size=size, bold=bold),
        (_GAP, round(1.5 * size)),
        size=size,
        bold=bold,
    )
    return strip


def _row(shown: Sequence[Shown], width: int, thumbnail: Thumbnail) -> NDArray[np.uint8]:
    pictures = [thumbnail(one) for one in shown]
    base = max(picture.shape[0] for picture in pictures)
    strip = np.full((base + _TEXT + _GAP, width, 3), PAPER, np.uint8)
    for column, (one, picture) in enumerate(zip(shown, pictures, strict=True)):
        left = _GAP + column * (TILE + _GAP)
        height, across = picture.shape[:2]
        top, at = base - height, left + (TILE - across) // 2
        strip[top:base, at : at + across] = picture
        strip[base : base + 3, left : left + TILE] = _colour(one)
        name = shorten(printable(one.image.name), TILE, size=_NAME)
        draw_text(strip, name, (left, base + 19), size=_NAME, colour=INK)
        draw_text(strip, shorten(one.caption, TILE, size=_CAPTION), (left, base + 37), size=_CAPTION, colour=SOFT)
    return strip


def _colour(shown: Shown) -> Colour:
    return {"ok": OK_COLOUR, "nok": NOK_COLOUR}.get(shown.image.label or "", SOFT)
