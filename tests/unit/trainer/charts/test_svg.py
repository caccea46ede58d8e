from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.axes import Axes

from tests.unit.trainer.charts.marks import marks, words
from trainer.charts.canvas import name
from trainer.charts.palette import ACCENT, NOK, OK
from trainer.charts.svg import render_svg

SIZE = (400, 200)


def draw(axes: Axes) -> None:
    (line,) = axes.plot([1, 2, 3], [1, 3, 2], color=OK)
    name(line, "curve ok", "a <b> & c: d")
    (dots,) = axes.plot([1, 2], [2, 2], "o", color=ACCENT, markersize=8)
    name(dots, "dots", "two")
    axes.axvspan(2, 3, color=NOK, alpha=0.1)
    axes.set_title("Title & more", color=NOK)


def test_it_stands_within_a_page_and_says_what_it_shows() -> None:
    svg = render_svg(draw, 'Shares "by" <score>', SIZE, kind="chart wide")
    root = ET.fromstring(svg)  # noqa: S314 - our own output
    assert svg.startswith("<svg "), "neither prologue nor doctype"
    assert dict(root.attrib) == {
        "class": "chart wide",
        "viewBox": "0 0 400 200",
        "role": "img",
        "aria-label": 'Shares "by" <score>',
        "stroke-linejoin": "round",
    }
    assert not {element.tag for element in root.iter()} - {"svg", "g", "title", "path", "circle", "text"}


def test_charts_of_one_page_cannot_clash_and_refer_to_nothing() -> None:
    svg = render_svg(draw, "label", SIZE)
    assert not re.search(r"\bid=|href|url\(|<style|xmlns", svg)


def test_colours_are_those_of_the_page() -> None:
    svg = render_svg(draw, "label", SIZE)
    assert not re.search(r"#[0-9a-f]{3,6}\b", svg)
    assert "stroke: var(--ok)" in marks(svg, "curve ok")[0].style
    assert set(re.findall(r"var\((--[\w-]+)\)", svg)) == {"--ok", "--nok", "--accent", "--soft", "--line"}


def test_text_is_text_in_the_letters_of_the_page() -> None:
    svg = render_svg(draw, "label", SIZE)
    assert "Title & more" in words(svg)
    assert "1.5" in words(svg)
    assert "font-family" not in svg
    assert "font-size: " in svg


def test_a_name_is_the_class_and_the_title_of_a_mark() -> None:
    svg = render_svg(draw, "label", SIZE)
    assert [mark.title for mark in marks(svg, "curve ok")] == ["a <b> & c: d"]
    assert len(marks(svg, "curve ok")[0].points) == 3


def test_markers_are_circles_of_their_size() -> None:
    root = ET.fromstring(render_svg(draw, "label", SIZE))  # noqa: S314 - our own output
    circles = root.findall("./g[@class='dots']/circle")
    assert [circle.get("r") for circle in circles] == ["4"] * 2
    assert float(circles[0].get("cx", "")) < float(circles[1].get("cx", ""))
    assert circles[0].get("cy") == circles[1].get("cy")


def test_the_same_marks_give_the_same_text_from_any_thread() -> None:
    before = dict(mpl.rcParams)
    with ThreadPoolExecutor(4) as pool:
        drawn = set(pool.map(lambda _: render_svg(draw, "label", SIZE), range(12)))
    assert drawn == {render_svg(draw, "label", SIZE)}
    assert dict(mpl.rcParams) == before
