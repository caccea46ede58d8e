"""Tables, objects and optional values, as they are typed."""

from __future__ import annotations

import argparse

import pytest

from inspector.commandline.reading import read_objects, read_or_nothing, read_table


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", [("a", "b")]),
        ("a=b,c=d", [("a", "b"), ("c", "d")]),
        ("a=/x,y,b-1==", [("a", "/x,y"), ("b-1", "=")]),
        ('{"a": 1, "b": "c"}', [("a", 1), ("b", "c")]),
        ('{"a": 1},{"b": 2}', [("a", 1), ("b", 2)]),
    ],
)
def test_a_table_is_read(text: str, expected: list[tuple[str, object]]) -> None:
    assert read_table(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [('{"a": 1}', [{"a": 1}]), ('{"a": 1},{"b": 2}', [{"a": 1}, {"b": 2}]), ("[]", []), ('[{"a": 1}]', [{"a": 1}])],
)
def test_objects_are_read(text: str, expected: list[object]) -> None:
    assert read_objects(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "'a' is neither NAME=VALUE nor a JSON object"),
        ("a,b=c", "is neither"),
        ("=a", "is neither"),
        ('{"a"', "is not JSON"),
        ('{"a": 1},3', "is not a JSON object"),
    ],
)
def test_what_is_no_table_is_refused(text: str, message: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        read_table(text)


def test_what_are_no_objects_is_refused() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"'\[1' is not JSON: Expecting"):
        read_objects("[1")


def test_nothing_is_typed_as_none() -> None:
    assert (read_or_nothing("None"), read_or_nothing("none"), read_or_nothing("")) == (None, "none", "")
