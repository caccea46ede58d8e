from __future__ import annotations

import csv
import html
import io
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import Environment

from trainer.wording import agreed, counted, is_printable, printable, some

NAMES = st.binary(min_size=1, max_size=80).map(os.fsdecode) | st.text(min_size=1) | st.sampled_from(
    ["a\nb.png", "a\tb", 'a"b', "-x", ".x", "x" * 255, "😀.png", "\u202eabc.png", "<b>x</b>", "=cmd|' /C calc'!A0", "e\u0301", "\udcff.png"]
)  # fmt: skip


@given(NAMES)
def test_every_name_is_shown_in_one_line_of_utf_8(name: str) -> None:
    shown = printable(name)
    assert shown.encode().decode() == shown
    assert len(shown.splitlines()) <= 1
    assert is_printable(shown)
    assert shown == name or not is_printable(name)
    assert printable(shown) == shown


@given(NAMES.filter(is_printable))
def test_what_is_printable_comes_back_from_json_csv_and_the_page(name: str) -> None:
    assert json.loads(json.dumps(name)) == name
    assert json.loads(json.dumps(name, ensure_ascii=False).encode()) == name
    file = io.StringIO(newline="")
    csv.writer(file).writerow([name, "ok"])
    assert next(csv.reader(io.StringIO(file.getvalue(), newline=""))) == [name, "ok"]
    page = Environment(autoescape=True).from_string('<i title="{{ name }}">{{ name }}</i>').render(name=name)
    assert "<b>" not in page
    assert html.unescape(page) == f'<i title="{name}">{name}</i>'


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (os.fsdecode(b"b\xe4r.png"), r"b\xe4r.png"),
        ("a\nb", r"a\nb"),
        ("a\x1b[31m", r"a\x1b[31m"),
        ("a\u2028b", r"a\u2028b"),
        ("\ud800", r"\ud800"),
        ("ä 😀 \u202e<b>", "ä 😀 \u202e<b>"),
    ],
)
def test_escapes(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert some([name]) == shown


def test_one_is_not_called_several() -> None:
    assert [f"{counted(n)} {agreed(n, 'is', 'are')} left out" for n in (0, 1, 2)] == [
        "0 images are left out",
        "1 image is left out",
        "2 images are left out",
    ]
    assert counted(1, "mask") == "1 mask"
