"""The words that parameters may be set to, each defined once. Imports nothing, so that settings can use them too."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, TypeAlias, get_args

from pydantic import AfterValidator

AnomalyClass = Literal["ok", "nok"]

DetectorName = Literal["padim", "patchcore", "student", "fused"]

FeatureNormalization = Literal["level", "vector", "both"]
"""Of the features that are projected: each level by its root mean square over all positions, each position's vector by its norm, or
one after the other: dimensions of vectors, then as many of levels."""

LiteName = Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]
"""The backbones whose published weights are packages of their own."""

LITE_NAMES: Final[tuple[LiteName, ...]] = get_args(LiteName)

TIMM_PREFIX: Final = "timm:"
"""What stands before the name of a network of the library timm, to be used as a backbone."""


def _checked(name: str) -> str:
    if name in LITE_NAMES or re.fullmatch(rf"{TIMM_PREFIX}[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?", name):
        return name
    raise ValueError(f"must be {', '.join(LITE_NAMES)} or {TIMM_PREFIX}NAME, got {name!r}")


BackboneName: TypeAlias = Annotated[str, AfterValidator(_checked)]
"""One of `LITE_NAMES`, or `timm:NAME` for a network of timm (`python -c "import timm; print(timm.list_models())"`)."""

ScoreRuleKind = Literal["maximum", "mean_of_top", "standard_deviation"]
"""How a map's score is taken from it."""

NormalizationType = Literal["none", "all_channels", "first_channel", "constant_values"]
"""Of the gray values of a network's input."""

DomainHandling = Literal["full_domain", "keep_domain", "crop_domain"]
"""What the network is shown of a picture with a region of interest."""

GeometryRule = Literal["one-camera", "any"]
"""What pictures a model takes: those of one camera, which have the trained aspect, or pictures of any size and aspect."""
