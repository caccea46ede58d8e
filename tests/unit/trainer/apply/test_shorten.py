from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from trainer.apply.shorten import shorten

NAMES = st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1, max_size=40), max_size=12)


def test_a_name_that_fits_stays_and_others_lose_their_middle() -> None:
    name = "line4/camera2/2024-05-01/part_000123.png"
    assert shorten([name, "a.png"], 40) == {name: name, "a.png": "a.png"}
    assert shorten([name], 20) == {name: "line4/\u2026rt_000123.png"}
    assert shorten([name], 20, "..") == {name: "line4/..t_000123.png"}


def test_names_that_differ_in_the_middle_show_it() -> None:
    names = [f"a_very_long_beginning_of_a_name_{mark}_and_a_very_long_end.png" for mark in ("left", "right")]
    shown = list(shorten(names, 24).values())
    assert "left" in shown[0]
    assert "right" in shown[1]


def test_names_that_nothing_short_tells_apart_are_numbered() -> None:
    names = [f"{'a' * 30}{'b' * n}{'c' * 30}" for n in range(1, 12)]
    assert len(set(shorten(names, 8).values())) == len(names)


@given(NAMES, st.integers(8, 30))
def test_names_fit_and_are_told_apart(names: list[str], width: int) -> None:
    shown = shorten(names, width)
    assert set(shown) == set(names)
    assert len(set(shown.values())) == len(shown)
    assert all(cell_len(text) <= width for text in shown.values())
