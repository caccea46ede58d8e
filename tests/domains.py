"""A rectangle and a triangle in a picture of 192 x 128 pixels, and the preprocessing that goes by one."""

from __future__ import annotations

from typing import Literal

import torch

from inspector.anomaly.choices import NormalizationType
from inspector.anomaly.domain.domain import ImageDomain, PixelBox
from inspector.anomaly.preprocess.param import DLPreprocessParam, create_dl_preprocess_param

Handling = Literal["keep_domain", "crop_domain"]
CPU = torch.device("cpu")
WIDTH, HEIGHT = 192, 128
BOX = PixelBox(40, 16, 96, 64)
RECTANGLE = ImageDomain.rectangle(*BOX, image_width=WIDTH, image_height=HEIGHT)
TRIANGLE = ImageDomain.of_polygons([((40, 16), (136, 16), (40, 80))], image_width=WIDTH, image_height=HEIGHT)


def a_param(
    handling: Handling, domain: ImageDomain = RECTANGLE, kind: NormalizationType = "constant_values"
) -> DLPreprocessParam:
    size = (192, 128) if handling == "keep_domain" else (96, 64)
    return create_dl_preprocess_param(
        image_width=size[0], image_height=size[1], domain_handling=handling, domain=domain, normalization_type=kind
    )
