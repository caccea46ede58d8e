"""A field as an option: its name, its value and its help."""

from __future__ import annotations

import argparse
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import pytest
from pydantic import BaseModel, Field

from inspector.commandline.option import Argument, Option, options_of
from inspector.commandline.reading import read_or_nothing


class Group(BaseModel):
    title: ClassVar[str] = "first"

    brightness: float = 0.5


class Inner(BaseModel):
    """What stands below.

    Not shown.
    """

    group_id: str = "g"


class Model(Group):
    source: Annotated[Path, Argument("DIR", is_positional=True)] = Field(description="where")
    max_size: int = Field(description="at most 5 %")
    until: datetime | None = Field(None, description="end")
    side: Annotated[int, Field(ge=1)] | None = None
    note: str = ""
    kind: Literal["a", "b"] = "a"
    is_on: bool = True
    is_off: bool = False
    images: tuple[Path, ...] | Path = ()
    places: dict[str, Path] = Field(default_factory=dict)
    parts: tuple[Inner, ...] = ()
    captured: str | None = Field(None, validation_alias="from")
    inner: Inner = Field(default_factory=Inner)


def options(*, is_kebab: bool = True) -> dict[str, Option]:
    return {option.key: option for option in options_of(Model, is_kebab=is_kebab)}


def argument(key: str, *, can_negate: bool = False) -> dict[str, Any]:
    return options()[key].as_argument(can_negate=can_negate)[1]


def test_names_are_typed_with_dashes_or_as_they_are() -> None:
    assert options()["max_size"].name == "--max-size"
    assert options()["inner.group_id"].name == "--inner.group-id"
    assert options(is_kebab=False)["inner.group_id"].name == "--inner.group_id"
    assert options()["from"].name == "--from"


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("source", "DIR"),
        ("max_size", "N"),
        ("brightness", "X"),
        ("until", "TIME"),
        ("side", "N"),
        ("kind", "{a,b}"),
        ("images", "PATH"),
        ("places", "NAME=PATH"),
        ("parts", "JSON"),
        ("from", "TEXT"),
    ],
)
def test_values_have_short_names(key: str, value: str) -> None:
    assert options()[key].value == value


@pytest.mark.parametrize(
    ("key", "text"),
    [
        ("source", "where"),
        ("max_size", "at most 5 %% (required)"),
        ("brightness", " (default: 0.5)"),
        ("until", "end"),
        ("is_on", " (default: on)"),
        ("is_off", ""),
        ("images", ""),
        ("places", ""),
        ("note", ""),
    ],
)
def test_help_tells_the_default_or_that_there_is_none(key: str, text: str) -> None:
    assert argument(key)["help"] == text


def test_a_group_is_named_by_the_class_that_brings_the_field_or_by_the_field_of_a_model() -> None:
    found = options()
    assert (group := found["brightness"].group) is not None
    assert group.title == "first"
    assert found["max_size"].group is None, "the subclass inherits the title, but the field is its own"
    assert found["inner.group_id"].group == ("inner", "What stands below.")


def test_a_flag_has_its_contrary_where_something_else_may_have_set_it() -> None:
    assert argument("is_on")["action"] == "store_true"
    assert argument("is_on", can_negate=True)["action"] is argparse.BooleanOptionalAction


def test_a_sentence_calls_an_option_by_its_name_and_a_place_by_its_value() -> None:
    assert (options()["max_size"].spelling, options()["source"].spelling) == ("--max-size", "DIR")


def test_an_optional_value_can_be_set_back_to_none() -> None:
    assert argument("from")["type"] is read_or_nothing
    assert argument("max_size")["type"] is str
