"""How training images may be varied, as a parameter object. Loads no image library, so that settings can use it too."""

from __future__ import annotations

from pydantic import Field, model_validator

from inspector.anomaly.parameters import Parameters


class Augmentation(Parameters):
    """How copies differ from their image.

    Attributes:
        flip_horizontal: Copies may be mirrored left to right.
        flip_vertical: Copies may be mirrored top to bottom.
        rotation_degrees: Each is turned about its middle by up to so much, either way.
        brightness: Each is brighter or darker by up to this share.
        copies: Of each training image, beside the image itself.
    """

    flip_horizontal: bool = False
    flip_vertical: bool = False
    rotation_degrees: float = Field(default=0.0, ge=0.0, le=180.0)
    brightness: float = Field(default=0.0, ge=0.0, lt=1.0)
    copies: int = Field(default=1, ge=1, le=50)

    @model_validator(mode="after")
    def _varies(self) -> Augmentation:
        if not (self.flip_horizontal or self.flip_vertical or self.rotation_degrees or self.brightness):
            raise ValueError(
                "an augmentation without flip, rotation or brightness makes identical copies; add one of these, or "
                "leave it out"
            )
        return self

    @property
    def flips(self) -> list[tuple[bool, bool]]:
        """The ways to mirror: the image as it is only where something else makes the copy differ."""
        ways = [
            (horizontal, vertical)
            for horizontal in ((False, True) if self.flip_horizontal else (False,))
            for vertical in ((False, True) if self.flip_vertical else (False,))
        ]
        return ways if self.rotation_degrees or self.brightness else ways[1:]
