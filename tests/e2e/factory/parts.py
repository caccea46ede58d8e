"""The parts on the belts: pictures of which it is known whether the part is good, each a little different, as a camera sees them.

They come from the test images of `tests/data`, which no model has learnt from. A belt has more parts than there are pictures: each
part is moved and lit a little differently. Noise is not added: the models have learnt from pictures without, and would reject all of it.
"""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from deploy.demo.cameras import DemoCamera, is_ok

Kind = Literal["ok", "nok"]

MOST_SHIFT = 3
"""Pixels, each way."""
GAIN = 0.02
JPEG_QUALITY = 92

_PART = re.compile(r"\d+_(ok|nok)-\d+")


def write_belt(product: DemoCamera, folder: Path, *, parts: int, nok_share: float, seed: int) -> None:
    """Write the pictures of a belt, in the order in which they come, good and bad mixed.

    Args:
        product: whose test images are shown.
        folder: to be made.
        parts: how many.
        nok_share: of them, rounded to whole parts.
        seed: decides order, pictures and differences.
    """
    chance = random.Random(seed)
    known: dict[Kind, list[Path]] = {"ok": [], "nok": []}
    for image in product.test_images():
        known["ok" if is_ok(image) else "nok"].append(image)
    bad = round(parts * nok_share)
    kinds: list[Kind] = ["nok" if number < bad else "ok" for number in range(parts)]
    chance.shuffle(kinds)
    decks: dict[Kind, list[Path]] = {"ok": [], "nok": []}
    folder.mkdir(parents=True)
    for number, kind in enumerate(kinds):
        if not decks[kind]:  # every picture once before any comes again
            decks[kind] = chance.sample(known[kind], len(known[kind]))
        seen = another_view(decks[kind].pop(), np.random.default_rng([seed, number]))
        (folder / f"{number:04d}_{kind}.jpg").write_bytes(seen)


def another_view(image: Path, rng: np.random.Generator) -> bytes:
    """Return the JPEG of a picture moved and lit by chance."""
    pixels = np.asarray(cv2.imread(str(image), cv2.IMREAD_COLOR), np.uint8)
    x, y = (int(shift) for shift in rng.integers(-MOST_SHIFT, MOST_SHIFT, 2, endpoint=True))
    matrix = np.array([[1, 0, x], [0, 1, y]], np.float32)
    moved = cv2.warpAffine(pixels, matrix, pixels.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
    shown = np.asarray((moved * rng.uniform(1 - GAIN, 1 + GAIN)).clip(0, 255), np.uint8)
    _, coded = cv2.imencode(".jpg", shown, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return bytes(coded.tobytes())


def kind_of(part_id: str) -> Kind | None:
    """Return what a part of a belt is; None for one that comes from no belt."""
    found = _PART.fullmatch(part_id)
    return None if found is None else "ok" if found[1] == "ok" else "nok"
