"""The region of interest of a camera: polygons in the picture, the box around them, and where a map of scores lies.

Everything is relative to the picture, so a domain drawn on one picture of a camera holds for every scale of it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pydantic import Field, ValidationError, model_validator

from inspector.anomaly.errors import GeometryError, ParameterError
from inspector.anomaly.parameters import Parameters
from schemas.refusal import refusals

Point = tuple[float, float]
Polygon = tuple[Point, ...]

ASPECT_TOLERANCE = 0.02
"""Largest relative difference from the aspect of the picture that a domain was drawn on, or a model trained with."""

_FEWEST_POINTS = 3


class PixelBox(NamedTuple):
    """A rectangle of whole pixels: the corner at the top left, width and height."""

    x: int
    y: int
    width: int
    height: int


class Bounds(NamedTuple):
    """The bounding box of a domain, in pixels of the picture it was drawn on, not rounded."""

    left: float
    top: float
    right: float
    bottom: float


class ImageDomain(Parameters):
    """The area of a camera's picture that is inspected: the inside of any of its polygons.

    Attributes:
        image_width: Width in pixels of the picture that the polygons were drawn on.
        image_height: Its height.
        polygons: Each has at least three corners (x, y), in pixels of that picture; (0, 0) is the outer corner of
            the first pixel, so pixel i reaches from i to i + 1. Areas that a self-crossing polygon encloses twice are
            outside.
    """

    image_width: int = Field(ge=1)
    image_height: int = Field(ge=1)
    polygons: tuple[Polygon, ...]

    @classmethod
    def rectangle(
        cls, x: float, y: float, width: float, height: float, *, image_width: int, image_height: int
    ) -> ImageDomain:
        """Return the domain of one upright rectangle.

        Raises:
            ParameterError: It reaches outside the picture, or covers less than a pixel.
        """
        right, bottom = x + width, y + height
        corners = ((x, y), (right, y), (right, bottom), (x, bottom))
        return cls.of_polygons([corners], image_width=image_width, image_height=image_height)

    @classmethod
    def of_polygons(cls, polygons: Sequence[Sequence[Point]], *, image_width: int, image_height: int) -> ImageDomain:
        """Return the domain of these polygons.

        Raises:
            ParameterError: There is no polygon, or one has fewer than three corners, reaches outside the picture, or
                covers less than a pixel.
        """
        try:
            return cls(image_width=image_width, image_height=image_height, polygons=tuple(map(tuple, polygons)))
        except ValidationError as exc:
            raise ParameterError(f"domain: {refusals(exc)[0]}") from exc

    @model_validator(mode="after")
    def _drawn_inside(self) -> ImageDomain:
        if not self.polygons:
            raise ValueError("the domain is empty; draw at least one polygon, or use full_domain")
        for number, polygon in enumerate(self.polygons):
            if len(polygon) < _FEWEST_POINTS:
                raise ValueError(f"polygon {number} has {len(polygon)} corner(s); it needs three or more")
            for x, y in polygon:
                if not (0 <= x <= self.image_width and 0 <= y <= self.image_height):
                    raise ValueError(
                        f"polygon {number} extends beyond the picture of {self.image_width} x {self.image_height} "
                        f"pixels at ({x:g}, {y:g}); draw it inside"
                    )
            if abs(_area(polygon)) < 1:
                raise ValueError(f"polygon {number} covers less than one pixel; draw it around an area")
        return self

    @property
    def bounds(self) -> Bounds:
        """The bounding box of all polygons, in pixels of the picture that they were drawn on."""
        xs = [x for polygon in self.polygons for x, _ in polygon]
        ys = [y for polygon in self.polygons for _, y in polygon]
        return Bounds(min(xs), min(ys), max(xs), max(ys))

    @property
    def is_rectangle(self) -> bool:
        """True if the domain is its bounding box."""
        left, top, right, bottom = self.bounds
        return len(self.polygons) == 1 and abs(_area(self.polygons[0])) == (right - left) * (bottom - top)

    def box(self, width: int, height: int) -> PixelBox:
        """Return the pixels of a picture of this size whose centres lie in the bounding box; at least one each way."""
        left, top, right, bottom = self.bounds
        x, across = _span(left, right, width, self.image_width)
        y, down = _span(top, bottom, height, self.image_height)
        return PixelBox(x, y, across, down)

    def check_size(self, width: int, height: int) -> None:
        """Refuse a picture of another aspect than the domain was drawn on: the domain would lie elsewhere in it.

        Raises:
            GeometryError: The aspect differs by more than 2 %, and by more than a pixel that was rounded.
        """
        expected = height * self.image_width / self.image_height
        slack = 1 + self.image_width / self.image_height  # a reduced picture's sides are rounded up
        if abs(width - expected) > ASPECT_TOLERANCE * expected + slack:
            raise GeometryError(
                f"the domain was drawn on a picture of {self.image_width} x {self.image_height} pixels, got {width} x "
                f"{height}, which has another aspect ratio; draw it on a picture of this camera"
            )


@dataclass(frozen=True, slots=True)
class DomainView:
    """How a model looks at a domain: at the whole picture (`keep_domain`) or at its bounding box (`crop_domain`)."""

    domain: ImageDomain
    is_crop: bool

    @property
    def is_all(self) -> bool:
        """True if all that the model sees lies in the domain."""
        return self.is_crop and self.domain.is_rectangle

    @property
    def extent(self) -> Bounds:
        """What the model sees, in pixels of the picture that the domain was drawn on."""
        if self.is_crop:
            return self.domain.bounds
        return Bounds(0, 0, self.domain.image_width, self.domain.image_height)

    def box(self, width: int, height: int) -> PixelBox:
        """Return the pixels of a picture of this size that the model sees."""
        return self.domain.box(width, height) if self.is_crop else PixelBox(0, 0, width, height)


def _span(start: float, stop: float, size: int, drawn_size: int) -> tuple[int, int]:
    """Return the first pixel whose centre lies between, and how many there are; one where there is none."""
    first = math.ceil(start * size / drawn_size - 0.5)
    behind = math.ceil(stop * size / drawn_size - 0.5)
    if behind > first:
        return first, behind - first
    return min(first, size - 1), 1


def _area(polygon: Polygon) -> float:
    """Return the signed area by the shoelace formula."""
    return sum(x0 * y1 - x1 * y0 for (x0, y0), (x1, y1) in edges(polygon)) / 2


def edges(polygon: Polygon) -> Iterator[tuple[Point, Point]]:
    """Yield the sides of a polygon, the last one back to the start."""
    yield from zip(polygon, (*polygon[1:], polygon[0]), strict=True)
