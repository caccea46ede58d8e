"""Sound inputs, and near misses, from which a fuzzer starts: `python -m tests.fuzz seeds` writes them into the corpus."""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from inspector.settings.example import example_toml
from schemas import encode, frame_headers
from tests.encoded import chunk, jpeg_claiming, scan_bomb
from tests.frames import camera_frame, png
from tests.fuzz import CORPUS
from tests.messages import message, refused
from tests.record_batches import record_batch
from tests.stores import claim

VECTORS = Path(__file__).parents[2] / "schemas" / "vectors"
_KINDS = ("frame", "result", "deadletter", "release", "audit")


def write_seeds() -> int:
    """Write every seed that is not there; return how many there are."""
    count = 0
    for target, name, data in seeds():
        path = CORPUS / target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        count += 1
    return count


def seeds() -> Iterator[tuple[str, str, bytes]]:
    """All seeds: target, name, bytes."""
    yield from _messages()
    yield from (("headers", name, data) for name, data in _headers())
    for name, data in _pictures():
        if name.endswith((".png", ".jpg")):
            yield "image_header", name, data
            yield "picture", name, data
        yield "trainer_formats", name, data
    yield "manifest", "sound", b"\1" + _manifest()
    yield "manifest", "unnamed", b"\0" + _manifest()
    yield "manifest", "deep", b"\1" + b"[" * 5000
    yield from (("record_batches", name, data) for name, data in _batches())
    for number, uri in enumerate(_URIS):
        yield "image_uri", f"{number:02d}", uri.encode()
    yield "settings", "example", example_toml().encode()
    yield "settings", "cameras", b'[models]\nm = "m"\n[[cameras]]\nline_id = "l"\ncamera_id = "c"\nmodel = "m"\n'
    yield "settings", "store", b'[store]\nallowed_prefixes = ["s3://bucket/"]\nendpoint = "http://h:1"\n'


def _messages() -> Iterator[tuple[str, str, bytes]]:
    for path in sorted(VECTORS.glob("*.msgpack")):
        kind = _KINDS.index(path.name.split("_")[0])
        yield "message", path.stem, bytes([kind]) + path.read_bytes()
    yield "message", "claim", b"\0" + encode(claim("a", 1, 1, "s3://bucket/a.png"))
    yield "message", "maps", b"\0" + b"\x81\xa1a" * 2000
    yield "message", "result", b"\1" + encode(message())
    yield "message", "refused", b"\1" + encode(refused())


def _headers() -> Iterator[tuple[str, bytes]]:
    pairs = frame_headers(camera_frame("a", 1, 1_700_000_000_000_000))
    yield "frame", b"\0".join(part for name, value in pairs for part in (name.encode(), value))
    yield "twice", b"seq\x001\x00seq\x002\x00line_id\x00a/b\x00captured_at\x00-1"


def _pictures() -> Iterator[tuple[str, bytes]]:
    gray = np.asarray(np.random.default_rng(1).integers(0, 255, (24, 32)), np.uint8)
    colour = np.dstack([gray] * 3)
    for suffix in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".pgm", ".ppm"):
        for kind, image in (("gray", gray), ("colour", colour)):
            if (suffix, kind) not in {(".pgm", "colour"), (".ppm", "gray")}:
                yield f"{kind}{suffix}", cv2.imencode(suffix, image)[1].tobytes()
    yield "gray.jp2", _saved(Image.fromarray(gray), "JPEG2000")
    yield "deep.png", cv2.imencode(".png", gray.astype(np.uint16) * 256)[1].tobytes()
    yield "palette.png", _saved(Image.fromarray(gray).convert("P"), "PNG")
    yield "turned.jpg", _saved(Image.fromarray(colour), "JPEG", exif=_turned())
    yield "progressive.jpg", _saved(Image.fromarray(colour), "JPEG", progressive=True)
    yield "scans.jpg", scan_bomb(64, 64, scans=12)
    yield "claims.jpg", jpeg_claiming(60_000, 60_000)
    yield "text.png", png()[:33] + chunk(b"zTXt", b"a\0\0" + bytes(50)) + png()[33:]
    yield "cut.png", png()[:40]
    yield "tiled.tiff", _saved(Image.fromarray(gray), "TIFF", compression="tiff_lzw")


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _saved(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _manifest() -> bytes:
    import tempfile

    from tests.models import write_tiny_bundle

    with tempfile.TemporaryDirectory() as folder:
        return (write_tiny_bundle(Path(folder) / "tiny") / "bundle.json").read_bytes()


def _batches() -> Iterator[tuple[str, bytes]]:
    headers = [("line_id", b"l"), ("seq", b"1")]
    for codec in range(5):
        batch = bytes(record_batch([b"a" * 40, b"b"], codec=codec, headers=headers, key=b"k"))
        yield f"codec{codec}", b"\1" + batch
        yield f"two{codec}", b"\0" + batch + bytes(record_batch([b"c"], base_offset=2, codec=codec))
    rng = random.Random(1)
    spoilt = bytearray(record_batch([b"a" * 40, b"b"], headers=headers))
    for at in rng.sample(range(20, len(spoilt)), 8):
        spoilt[at] ^= 1 << rng.randrange(8)
    yield "spoilt", b"\1" + bytes(spoilt)
    for magic in (0, 1):  # found: aiokafka raises as soon as it opens such a one
        body = bytes([magic, 0]) + bytes(8 * magic) + struct.pack(">i", 1 << 25) + bytes(30)
        yield f"old{magic}", b"\0" + struct.pack(">qiI", 5, 4 + len(body), zlib.crc32(body)) + body
    yield "bomb", b"\1" + bytes(record_batch([bytes(200_000)] * 5, codec=1))


_URIS = (
    "s3://bucket/lines/a.png",
    "file:///srv/frames/a/b.png",
    "s3://bucket/lines/../a.png",
    "s3://bucket/lines/%2e%2e/a.png",
    "file://localhost/srv/frames/a.png",
    "http://169.254.169.254/latest",
    "s3://user@bucket/lines/a.png?x#y",
    "s3://bucket/lines/\uff0e\uff0e/a.png",
)
