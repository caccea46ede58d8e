"""A moment of the live table: kept as text with its colours, and drawn as the terminal that it was seen in."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from rich.color import blend_rgb
from rich.console import Console, RenderableType
from rich.terminal_theme import MONOKAI
from rich.text import Text

COLUMNS = 96
_LINE_HEIGHT = 1.3
_MARGIN = 20

Picture = NDArray[np.uint8]


def as_ansi(screen: RenderableType) -> str:
    """Return the screen as a terminal of `COLUMNS` columns gets it: text with escape sequences."""
    console = Console(
        file=io.StringIO(), force_terminal=True, color_system="standard", width=COLUMNS, legacy_windows=False
    )
    with console.capture() as capture:
        console.print(screen)
    return capture.get()


def draw_screen(ansi: str, width: int) -> Picture:
    """Draw what `as_ansi` returned; (H, width, 3) RGB, the letters as large as the width allows."""
    lines = [Text.from_ansi(line) for line in ansi.strip("\n").split("\n")]
    size = next(size for size in range(40, 5, -1) if COLUMNS * _advance(size) <= width - 2 * _MARGIN)
    advance, step = _advance(size), round(size * _LINE_HEIGHT)
    canvas = Image.new("RGB", (width, len(lines) * step + 2 * _MARGIN), MONOKAI.background_color)
    draw = ImageDraw.Draw(canvas)
    console = Console(width=COLUMNS)
    for row, line in enumerate(lines):
        x, y = float(_MARGIN), _MARGIN + row * step
        for segment in line.render(console):
            style = segment.style
            text = segment.text.removesuffix("\n")
            end = x + advance * len(text)
            if style and style.bgcolor:
                draw.rectangle((x, y, end, y + step - 1), fill=style.bgcolor.get_truecolor(MONOKAI, foreground=False))
            ink = style.color.get_truecolor(MONOKAI) if style and style.color else MONOKAI.foreground_color
            if style and style.dim:
                ink = blend_rgb(ink, MONOKAI.background_color)
            draw.text((x, y), text, fill=ink, font=_font(size, is_bold=bool(style and style.bold)))
            x = end
    return np.asarray(canvas)


@cache
def _font(size: int, *, is_bold: bool = False) -> ImageFont.FreeTypeFont:
    name = "DejaVuSansMono-Bold.ttf" if is_bold else "DejaVuSansMono.ttf"
    return ImageFont.truetype(Path(mpl.get_data_path()) / "fonts" / "ttf" / name, size)


def _advance(size: int) -> float:
    return _font(size).getlength("M")
