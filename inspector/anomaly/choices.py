"""The words that parameters may be set to: one home for each, which loads nothing, so that settings can name them too."""

from __future__ import annotations

from typing import Literal

DetectorName = Literal["padim", "patchcore", "student"]
BackboneName = Literal["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"]

ScoreRuleKind = Literal["maximum", "mean_of_top", "standard_deviation"]
"""How a map's score is taken from it."""

NormalizationType = Literal["none", "all_channels", "first_channel", "constant_values"]
"""Of the gray values of a network's input."""

DomainHandling = Literal["full_domain", "keep_domain", "crop_domain"]
"""What the network is shown of a picture with a region of interest."""

GeometryRule = Literal["one-camera", "any"]
"""What pictures a model takes: those of one camera, which have the trained aspect, or pictures of any size and aspect."""
