"""Parses the few options with more than one value: a domain, an augmentation, a score rule. Loads no torch."""

from __future__ import annotations

import math
from typing import Any, Final

from pydantic import ValidationError

from inspector.anomaly.choices import ScoreRuleKind
from inspector.anomaly.domain.domain import Point, Polygon
from schemas.refusal import refusals
from trainer.settings.rates import read_share
from trainer.training.augmentation import Augmentation

_RECTANGLE: Final = 4
_CORNERS: Final = 3
_DOMAIN_HELP: Final = (
    "a domain is a rectangle x,y,width,height or a polygon of three corners or more 'x,y x,y x,y' (several separated "
    "by ';'), in pixels of the images"
)
_FLIPS: Final = {"flip-horizontal": "flip_horizontal", "flip-vertical": "flip_vertical"}
_AMOUNTS: Final = {"rotation": "rotation_degrees", "brightness": "brightness", "copies": "copies"}


def parse_domain(text: str) -> tuple[Polygon, ...]:
    """Read `x,y,width,height`, or polygons as `x,y x,y x,y`, several of them parted by `;`. In pixels of the images.

    Raises:
        ValueError: It is neither; says what it should be.
    """
    if is_rectangle(text):
        x, y, width, height = (_number(part) for part in text.split(","))
        if width <= 0 or height <= 0:
            raise ValueError("a rectangle is x,y,width,height with a positive width and height")
        return (((x, y), (x + width, y), (x + width, y + height), (x, y + height)),)
    return tuple(_polygon(part) for part in text.split(";"))


def is_rectangle(text: str) -> bool:
    """Whether a domain is written as `x,y,width,height`."""
    return len(text.split(",")) == _RECTANGLE and " " not in text.strip() and ";" not in text


def _polygon(part: str) -> Polygon:
    corners = tuple(_point(corner) for corner in part.split())
    if len(corners) < _CORNERS:
        raise ValueError(_DOMAIN_HELP)
    return corners


def _point(corner: str) -> Point:
    numbers = corner.split(",")
    if len(numbers) != 2:  # noqa: PLR2004 - x and y
        raise ValueError(_DOMAIN_HELP)
    return _number(numbers[0]), _number(numbers[1])


def _number(part: str) -> float:
    try:
        value = float(part)
    except ValueError:
        raise ValueError(_DOMAIN_HELP) from None
    if not math.isfinite(value):
        raise ValueError(_DOMAIN_HELP)
    return value


def parse_augmentation(text: str) -> Augmentation:
    """Read `flip-horizontal,flip-vertical,rotation=5,brightness=0.1,copies=2`, any of them.

    Raises:
        ValueError: A part is unknown, given twice or out of its range, or nothing varies.
    """
    values: dict[str, Any] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        name, equals, amount = part.partition("=")
        field = _FLIPS.get(name) if not equals else _AMOUNTS.get(name)
        if field is None or field in values:
            raise ValueError(
                f"{part!r} is not an augmentation, or given twice; give any of flip-horizontal, flip-vertical, "
                "rotation=DEGREES, brightness=SHARE and copies=N, separated by commas"
            )
        values[field] = amount if equals else True
    if "brightness" in values:
        try:
            values["brightness"] = read_share(values["brightness"])
        except ValueError as error:
            raise ValueError(f"brightness: {error}") from error
    try:
        return Augmentation.model_validate(values)
    except ValidationError as error:
        raise ValueError(refusals(error)[0]) from error


def parse_score_rule(text: str) -> tuple[ScoreRuleKind, float | None]:
    """Read `max`, `top-k:SHARE` or `std:FACTOR`.

    Returns:
        The rule's kind, and its share or factor.

    Raises:
        ValueError: It is none of these, or the number is out of its range.
    """
    name, _, amount = text.partition(":")
    if text == "max":
        return "maximum", None
    try:
        value = read_share(amount) if name == "top-k" else float(amount)
    except ValueError:
        value = math.nan
    if not isinstance(value, float):
        value = math.nan
    if name == "top-k" and 0 < value <= 1:
        return "mean_of_top", value
    if name == "std" and 0 <= value < math.inf:
        return "standard_deviation", value
    raise ValueError(
        "a score rule is max, top-k:SHARE with a share of the positions in (0, 1] such as top-k:0.01 or top-k:1%, or std:FACTOR with a "
        "factor of 0 or more such as std:3"
    )
