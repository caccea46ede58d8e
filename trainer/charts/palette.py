"""The colours of charts: each has one meaning, one value on white, and one variable of the pages' style sheets."""

from __future__ import annotations

from typing import Final

OK, NOK = "#12806f", "#c2410c"
OK_SOFT, NOK_SOFT = "#d9efea", "#fde6d8"
INK, SOFT, PAPER = "#171c24", "#5a6472", "#ffffff"
LINE, GRID = "#dfe3e9", "#eceff3"
CALIBRATION, ACCENT, SECOND = "#7c8ba1", "#2456b8", "#b4540a"

VARIABLES: Final = {
    OK: "--ok",
    NOK: "--nok",
    OK_SOFT: "--ok-soft",
    NOK_SOFT: "--nok-soft",
    INK: "--ink",
    SOFT: "--soft",
    PAPER: "--card",
    LINE: "--line",
    GRID: "--grid",
    CALIBRATION: "--calibration",
    ACCENT: "--accent",
    SECOND: "--second",
}
"""Variable of each colour: its value there is this one in light mode, and another in dark mode."""


def as_rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of #rrggbb, 0 to 255."""
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    return red, green, blue
