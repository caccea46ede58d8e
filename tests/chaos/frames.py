"""Frames from a seed, each with its entry in the answer key: ok and nok pictures of a striped part, and hostile ones."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import msgpack
import numpy as np

from schemas import CameraFrame, encode, frame_headers, image_digest
from tests.chaos.checker import FrameName, Kind
from tests.models import nok_image, ok_image

LINE = "line"
PICTURES = 24
"""Of each class, drawn from the seed."""

CLEAR = 0.1
"""How far from one half the score of a picture must be, so that no rounding calls it something else."""


class Made(NamedTuple):
    """A frame's record, and what it shows."""

    name: FrameName
    kind: Kind
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class Frames:
    """Makes frames; the pictures are such as the model is sure of."""

    def __init__(self, bundle: Path, seed: int, *, nok_share: float = 0.2, hostile_share: float = 0.0) -> None:
        """Draw pictures and look at them once with the model of `bundle`, which loads torch.

        Args:
            bundle: what the workers judge with.
            seed: decides pictures, classes and what is wrong with hostile frames.
            nok_share: share of frames that show a defect.
            hostile_share: share of frames that must not be judged at all.
        """
        self._rng = random.Random(f"frames {seed}")
        self._nok_share, self._hostile_share = nok_share, hostile_share
        self.pictures: dict[Kind, list[bytes]] = _clear_pictures(bundle, seed)
        self._seq: dict[str, int] = {}
        self.key: dict[FrameName, Kind] = {}

    def make(self, camera: str, *, budget_us: int | None = None, part_id: str | None = None) -> Made:
        """Return the next frame of a camera, captured now."""
        seq = self._seq.get(camera, 0)
        self._seq[camera] = seq + 1
        kind: Kind = "nok" if self._rng.random() < self._nok_share else "ok"
        hostile = self._rng.random() < self._hostile_share
        image = self._rng.choice(self.pictures[kind])
        frame = CameraFrame(
            line_id=LINE,
            camera_id=camera,
            part_id=part_id or f"{camera}-{seq}",
            seq=seq,
            captured_at=time.time_ns() // 1000,
            budget_us=budget_us,
            encoding="png",
            image=image,
            image_digest=image_digest(image),
        )
        value = encode(frame)
        if hostile:
            kind, value = "hostile", self._rng.choice(SPOILS)(frame, value)
        name = FrameName(LINE, camera, seq)
        self.key[name] = kind
        return Made(name, kind, f"{LINE}/{camera}".encode(), value, list(frame_headers(frame)))


def _clear_pictures(bundle: Path, seed: int) -> dict[Kind, list[bytes]]:
    import cv2

    from inspector.anomaly.model.bundle import read_dl_model

    model = read_dl_model(bundle)
    draw = {"ok": ok_image, "nok": nok_image}
    found: dict[Kind, list[bytes]] = {"ok": [], "nok": []}
    rng = np.random.default_rng(seed)
    for kind, pictures in found.items():
        while len(pictures) < PICTURES:
            drawn = [draw[kind](rng, channels=1) for _ in range(PICTURES)]
            gray = [
                np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8) for png in drawn
            ]
            for png, result in zip(drawn, model.launch(gray).finish(), strict=True):
                margin = result.anomaly_score - 0.5
                if (margin if kind == "nok" else -margin) >= CLEAR:
                    pictures.append(png)
    return found


def _cut(frame: CameraFrame, value: bytes) -> bytes:
    """The message ends early."""
    return value[: len(value) // 2]


def _flipped(frame: CameraFrame, value: bytes) -> bytes:
    """A bit of the picture is another; its digest tells."""
    spoilt = bytearray(frame.image)
    spoilt[len(spoilt) // 2] ^= 0x10
    return encode(frame.model_copy(update={"image": bytes(spoilt)}))


def _torn(frame: CameraFrame, value: bytes) -> bytes:
    """The picture ends early, and its digest is that of what is left."""
    image = frame.image[: len(frame.image) // 2]
    return encode(frame.model_copy(update={"image": image, "image_digest": image_digest(image)}))


def _empty(frame: CameraFrame, value: bytes) -> bytes:
    """There is no body."""
    return b""


def _future(frame: CameraFrame, value: bytes) -> bytes:
    """A version that nobody knows yet."""
    return bytes(msgpack.packb(msgpack.unpackb(value) | {"v": 99}))


def _noise(frame: CameraFrame, value: bytes) -> bytes:
    """No message at all."""
    return frame.image[::-1]


SPOILS: tuple[Callable[[CameraFrame, bytes], bytes], ...] = (_cut, _flipped, _torn, _empty, _future, _noise)
