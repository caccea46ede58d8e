"""A moment of the live table as text with colours, and the terminal that is drawn from it."""

from __future__ import annotations

import numpy as np
from rich.color import Color
from rich.style import Style
from rich.text import Text

from deploy.demo.views.screen import COLUMNS, as_ansi, draw_screen

WIDTH = 1000


def test_words_and_colours_are_kept() -> None:
    kept = Text.from_ansi(as_ansi(Text("OK", style="bold white on green")))
    assert kept.plain.rstrip("\n") == "OK"
    style = kept.spans[0].style
    assert isinstance(style, Style)
    assert style.bold
    assert style.bgcolor is not None
    assert style.bgcolor.number == Color.parse("green").number


def test_a_coloured_word_is_drawn_on_its_own_background() -> None:
    plain = draw_screen(as_ansi(Text("OK")), WIDTH)
    coloured = draw_screen(as_ansi(Text("OK", style="white on red")), WIDTH)
    assert plain.shape == coloured.shape
    assert plain.shape[1] == WIDTH
    columns = np.flatnonzero((plain != coloured).any(axis=(0, 2)))
    assert 0 < columns.size < WIDTH * 4 / COLUMNS, "two letters are two of the terminal's columns wide"


def test_each_line_has_its_own_height() -> None:
    one, three = (draw_screen("\n".join(["x"] * lines), WIDTH) for lines in (1, 3))
    assert (three.shape[0] - one.shape[0]) % 2 == 0
    assert three.shape[0] > one.shape[0]
