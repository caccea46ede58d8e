"""One frame's bytes to pixels, on a worker thread; what is wrong with one frame stays with that frame."""

from __future__ import annotations

import logging

from inspector.anomaly.errors import GeometryError, ImageError
from inspector.anomaly.image import ImageLimits, RawLayout, decode_image
from inspector.anomaly.types import DLSample
from inspector.inflight import Refusal
from inspector.route import Model
from schemas import CameraFrame

log = logging.getLogger(__name__)


def decode_frame(message: CameraFrame, model: Model, limits: ImageLimits) -> DLSample | Refusal:
    """Return the picture, decoded at the scale that `model` needs, or why there is none. Thread safe; never raises."""
    try:
        if not message.is_intact():
            return Refusal("undecodable", "digest_mismatch", "the image is not the one that the camera hashed")
        raw = None if message.raw is None else RawLayout(**message.raw.model_dump())
        param = model.preprocess_param
        sample = decode_image(
            message.image,
            encoding=message.encoding,
            raw=raw,
            target=param.input_size,
            margin=param.decode_margin,
            limits=limits,
        )
        model.check_geometry(sample)
    except GeometryError as exc:
        return Refusal("failed", "geometry", str(exc))
    except ImageError as exc:
        return Refusal("undecodable", exc.reason, str(exc))
    except MemoryError as exc:
        return Refusal("failed", "out_of_memory", str(exc))
    except Exception as exc:
        log.exception("decoding a frame failed unexpectedly")
        return Refusal("failed", "internal", f"{type(exc).__name__}: {exc}")
    return sample
