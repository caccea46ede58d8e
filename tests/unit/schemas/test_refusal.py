"""A ValidationError in words: how a place is spelt, and what is shown of the value."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from schemas.refusal import LONGEST_ECHO, Place, dotted, refusals


class Part(BaseModel):
    model_config = ConfigDict(extra="forbid")

    size: int = Field(ge=1)
    weight: Annotated[float, Field(allow_inf_nan=False)] = 0.0
    content: bytes = Field(b"", max_length=3)
    name: str = Field("", max_length=3)

    @field_validator("weight")
    @classmethod
    def _is_light(cls, value: float) -> float:
        if value > 9:
            raise ValueError(f"SI units only; at most 9, got {value}")
        if value < 0:
            raise ValueError("a weight is positive")
        return value


class Whole(BaseModel):
    parts: tuple[Part, ...]

    @model_validator(mode="after")
    def _has_parts(self) -> Whole:
        if not self.parts:
            raise ValueError("HALCON wants at least one part")
        return self


def error_of(*parts: object) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate({"parts": parts})
    return caught.value


@pytest.mark.parametrize(
    ("part", "sentence"),
    [
        ({"size": 0}, "parts.0.size: input should be greater than or equal to 1"),
        ({}, "parts.0.size is missing"),
        ({"size": 1, "colour": "red"}, "parts.0.colour is not known"),
        ({"size": 1, "weight": -1}, "parts.0.weight: a weight is positive"),
        ({"size": 1, "weight": 10}, "parts.0.weight: SI units only; at most 9, got 10.0"),
    ],
)
def test_a_refusal_is_a_sentence_without_the_value(part: dict[str, Any], sentence: str) -> None:
    assert refusals(error_of(part)) == [sentence]


def test_each_thing_refused_has_a_sentence_in_the_order_of_the_fields() -> None:
    sentences = refusals(error_of({"size": 0}, {"size": "x", "weight": -1}))
    assert [sentence.split(":")[0] for sentence in sentences] == ["parts.0.size", "parts.1.size", "parts.1.weight"]


def test_a_sentence_about_the_whole_has_no_name_and_shows_no_value() -> None:
    assert refusals(error_of(), echoes_input=True) == ["HALCON wants at least one part"]
    with pytest.raises(ValidationError) as caught:
        Whole.model_validate_json("[1]")
    assert refusals(caught.value, echoes_input=True) == ["input should be an object"]


@pytest.mark.parametrize(
    ("part", "end"),
    [
        ({"size": 0}, "greater than or equal to 1, got 0"),
        ({"size": 1, "weight": -1}, "a weight is positive, got -1"),
        ({"size": 1, "weight": 10.0}, "SI units only; at most 9, got 10.0"),
        ({"size": 1, "content": b"secret"}, "at most 3 bytes"),
        ({"size": {"a": 1}}, "a valid integer"),
        ({"size": 1, "name": "n" * 500}, "at most 3 characters, got '" + "n" * (LONGEST_ECHO - 1) + "..."),
    ],
)
def test_an_echo_shows_a_value_once_and_neither_bytes_nor_objects(part: dict[str, Any], end: str) -> None:
    (sentence,) = refusals(error_of(part), echoes_input=True)
    assert sentence.endswith(end)


def test_the_caller_says_how_a_place_is_spelt_and_what_an_unknown_key_is() -> None:
    def option(place: Place) -> str:
        return "--" + str(place[-1])

    def is_none(place: Place) -> str:
        return f"is no option of {dotted(place[:-1])}"

    sentences = refusals(error_of({"colour": "red"}), name=option, unknown=is_none)
    assert sentences == ["--size is missing", "--colour is no option of parts.0"]
