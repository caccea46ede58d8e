"""A folder as people have it: 130 files with every oddity that was met, made from a seed, and what is to become of each."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tests.encoded import chunk
from trainer.listing.tally import Reason

FILES: Final = 130
SIZE: Final = (64, 48)
"""Width and height of the camera."""
ODD_NAMES: Final = (b"OK/b\xe4r.png", b"OK/new\nline.png")
"""One that is no UTF-8, and one with a line end: a fit refuses these until they are renamed."""
RENAMED: Final = ("OK/baer.png", "OK/new line.png")

_EXIF_ORIENTATION: Final = 0x0112
_ANY: Final = ("jpg", "png", "bmp", "tif", "webp", "ppm", "jp2")


@dataclass(frozen=True, slots=True)
class Messy:
    """The folder, and what is to become of each file.

    Attributes:
        root: The folder.
        fate: None where a file is taken, else the reason, by its name in the folder; names that are no UTF-8 as Python holds them.
        copies: Files too many: copies of pictures that are there already.
        turned: Taken images with an EXIF flag.
        wrong_suffix: Taken images whose suffix is that of another format.
    """

    root: Path
    fate: dict[str, Reason | None]
    copies: int
    turned: tuple[str, ...]
    wrong_suffix: tuple[str, ...]

    @property
    def taken(self) -> list[str]:
        """Images that can be learnt from or tested on, sorted."""
        return sorted(name for name, reason in self.fate.items() if reason is None)

    @property
    def by_reason(self) -> dict[str, list[str]]:
        """The others by the reason, sorted."""
        reasons = sorted({reason for reason in self.fate.values() if reason is not None})
        return {reason: sorted(n for n, r in self.fate.items() if r == reason) for reason in reasons}

    def rename(self) -> Messy:
        """Give the odd names others, as the refusal asks."""
        fate = dict(self.fate)
        for odd, name in zip(ODD_NAMES, RENAMED, strict=True):
            (self.root / os.fsdecode(odd)).rename(self.root / name)
            fate[name] = fate.pop(os.fsdecode(odd))
        return Messy(self.root, fate, self.copies, self.turned, self.wrong_suffix)


def make_messy(root: Path, seed: int = 0) -> Messy:
    """Write the folder; the same seed gives the same bytes."""
    made = _Maker(root, np.random.default_rng(seed))
    made.strange_pictures()
    made.duplicates()
    made.no_pictures()
    made.defects()
    made.fill()
    return Messy(root, made.fate, made.copies, tuple(made.turned), tuple(made.wrong_suffix))


class _Maker:
    def __init__(self, root: Path, random: np.random.Generator) -> None:
        self.root = root
        self.random = random
        self.fate: dict[str, Reason | None] = {}
        self.copies = 0
        self.turned: list[str] = []
        self.wrong_suffix: list[str] = []

    def put(self, name: str | bytes, content: bytes, reason: Reason | None = None) -> None:
        key = os.fsdecode(name)
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        assert key not in self.fate, key
        self.fate[key] = reason

    def part(self, *, defect: bool = False) -> NDArray[np.uint8]:
        """A bright disc on a dark ground, with noise, RGB; a stroke is its defect."""
        width, height = SIZE
        pixels = np.full((height, width, 3), 70, np.uint8)
        cv2.circle(pixels, (width // 2, height // 2), 16, (190, 170, 120), -1, cv2.LINE_AA)
        if defect:
            x, y = (int(value) for value in self.random.integers(18, 30, 2))
            cv2.line(pixels, (x, y), (x + 14, y + 6), (20, 20, 20), 3)
        return (pixels + self.random.normal(0, 5, pixels.shape)).clip(0, 255).astype(np.uint8)

    def strange_pictures(self) -> None:
        """Pictures of every format and kind, with every odd name."""
        for suffix in _ANY:
            self.put(f"OK/format.{suffix.upper()}", _encoded(self.part(), suffix))
        deep = self.part().astype(np.uint16) * 257
        for suffix in ("png", "tif"):
            self.put(f"OK/deep_16bit.{suffix}", _encoded(deep, suffix))
        self.copies += 1
        alpha = np.dstack([self.part(), np.full(SIZE[::-1], 200, np.uint8)])
        self.put("OK/alpha.png", _encoded(alpha, "png"))
        self.put("OK/palette.png", _saved(Image.fromarray(self.part()).quantize(64), "PNG"))
        self.put("OK/progressive.jpeg", _saved(Image.fromarray(self.part()), "JPEG", progressive=True))
        for orientation in (2, 3, 6, 8):
            name = f"OK/exif_{orientation}.jpg"
            exif = Image.Exif()
            exif[_EXIF_ORIENTATION] = orientation
            self.put(name, _saved(Image.fromarray(self.part()), "JPEG", exif=exif.tobytes()))
            self.turned.append(name)
        for name, suffix in (("OK/really_png.jpg", "png"), ("OK/really_jpeg.png", "jpg"), ("OK/really_bmp.tif", "bmp")):
            self.put(name, _encoded(self.part(), suffix))
            self.wrong_suffix.append(name)
        for name in (
            "[1].png",
            "{x}.png",
            "-1.png",
            "two words.png",
            "a,b;c.png",
            "Größe_mm.png",
            "部品.png",
            "l" * 200 + ".png",
        ):
            self.put(f"OK/{name}", _encoded(self.part(), "png"))
        for odd in ODD_NAMES:
            self.put(odd, _encoded(self.part(), "png"))
        self.put("OK/2024-05-01/part.png", _encoded(self.part(), "png"))
        self.put("OK/overlay_7.png", _encoded(self.part(), "png"))
        self.unreadable()

    def unreadable(self) -> None:
        """Pictures by their names that cannot be read."""
        whole = _encoded(self.part(), "jpg")
        huge = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
        two_pages = BytesIO()
        Image.fromarray(self.part()).save(
            two_pages, "TIFF", save_all=True, append_images=[Image.fromarray(self.part())]
        )
        frames = [Image.fromarray(self.part()) for _ in range(3)]
        broken = {
            "OK/cut_short.jpg": whole[: len(whole) // 2],
            "OK/cut_short.png": _encoded(self.part(), "png")[:-40],
            "OK/empty.png": b"",
            "OK/text.png": b"this is no picture",
            "OK/zeros.bmp": bytes(5000),
            "NOK/crack/huge_header.png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", huge) + chunk(b"IEND", b""),
            "OK/pages.tif": two_pages.getvalue(),
            "OK/animated.webp": _saved(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100),
            "OK/really_gif.png": _saved(Image.fromarray(self.part()).quantize(16), "GIF"),
            "NOK/dent/half.tif": _encoded(self.part(defect=True), "tif")[:200],
            "OK/cmyk.jpg": _saved(Image.fromarray(self.part()).convert("CMYK"), "JPEG"),
        }
        for name, content in broken.items():
            self.put(name, content, "unreadable")

    def duplicates(self) -> None:
        """One picture several times, as the same file and as the same pixels."""
        pixels = self.part()
        for name in ("one.png", "one (1).png", "2024-05-02/one.bmp", "ONE_copy.tif"):
            self.put(f"OK/{name}", _encoded(pixels, name[-3:]))
        self.copies += 3

    def no_pictures(self) -> None:
        """What else lies about."""
        animated = _saved(
            Image.fromarray(self.part()), "GIF", save_all=True, append_images=[Image.fromarray(self.part())]
        )
        self.put("OK/animation.gif", animated, "of a format that is not read")
        self.put("NOK/phone.HEIC", b"\0\0\0\x18ftypheic", "of a format that is not read")
        for name in (
            "Thumbs.db",
            "OK/desktop.ini",
            "notes.txt",
            "OK/README",
            "OK/sidecar.xmp",
            "labels.csv",
            "OK/no suffix",
        ):
            self.put(name, b"text", "not a picture by its name")
        for name in (".DS_Store", "OK/._format.JPG", "OK/.hidden.png", ".cache/thumb.png", "NOK/.trash/crack.png"):
            self.put(name, _encoded(self.part(), "png"), "hidden")

    def defects(self) -> None:
        """Nok images, with masks in a folder of odd case."""
        for number in range(12):
            kind = ("crack", "dent")[number % 2]
            suffix = _ANY[number % 4]
            self.put(f"NOK/{kind}/{number:02}_NOK.{suffix}", _encoded(self.part(defect=True), suffix))
            if number < 9:
                mask = np.zeros(SIZE[::-1], np.uint8)
                mask[18:36, 18:46] = 255
                name = f"Ground_Truth/NOK/{kind}/{number:02}_NOK{'_mask' * (number % 3 == 0)}.png"
                self.put(name, _encoded(mask, "png"), "in the folder of masks")
        self.put(
            "Ground_Truth/NOK/crack/nobody.png",
            _encoded(np.zeros(SIZE[::-1], np.uint8), "png"),
            "in the folder of masks",
        )

    def fill(self) -> None:
        """As many usual pictures as are left."""
        for number in range(FILES - len(self.fate)):
            suffix = _ANY[number % 4]
            self.put(f"OK/part_{number:03}.{suffix}", _encoded(self.part(), suffix))


def _encoded(pixels: NDArray[np.uint8] | NDArray[np.uint16], suffix: str) -> bytes:
    """RGB, RGBA or gray."""
    stored = pixels if pixels.ndim == 2 else pixels[..., [2, 1, 0, 3][: pixels.shape[2]]]
    is_coded, content = cv2.imencode(f".{suffix}", np.ascontiguousarray(stored))
    assert is_coded
    return content.tobytes()


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    content = BytesIO()
    picture.save(content, kind, **options)
    return content.getvalue()
