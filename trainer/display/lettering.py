"""Text in pictures: smooth letters of the font that matplotlib brings along, the same on every machine."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from inspector.anomaly.verdict.draw import Colour
from trainer.charts import palette

INK: Colour = palette.as_rgb(palette.INK)
SOFT: Colour = palette.as_rgb(palette.SOFT)
PAPER: Colour = palette.as_rgb(palette.PAPER)
_ELLIPSIS = "\u2026"


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont:
    """DejaVu Sans of a size in pixels."""
    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def draw_text(
    picture: NDArray[np.uint8], text: str, at: tuple[int, int], *, size: int, colour: Colour = INK, bold: bool = False
) -> None:
    """Write a line into an (H, W, 3) RGB picture, in place; `at` is the left end of its base line, in pixels."""
    canvas = Image.fromarray(picture)
    ImageDraw.Draw(canvas).text(at, text, fill=colour, font=font(size, bold=bold), anchor="ls")
    np.copyto(picture, np.asarray(canvas))


def shorten(text: str, width: int, *, size: int, bold: bool = False) -> str:
    """The text, its middle left out where it is wider than `width` pixels: names differ at their ends."""
    face = font(size, bold=bold)
    if face.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 1, -1):
        head, tail = text[: kept // 2], text[len(text) - (kept - kept // 2) :]
        if face.getlength(f"{head}{_ELLIPSIS}{tail}") <= width:
            return f"{head}{_ELLIPSIS}{tail}"
    return _ELLIPSIS
