"""Hostile inputs, drawn from a seed: each looks like an ok picture of a camera, or like nothing, and none may pass a part."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import cv2
import msgpack
import numpy as np

from schemas import CameraFrame, encode, frame_headers, image_digest
from tests.encoded import chunk, jpeg_claiming, png, scan_bomb

Way = Literal["plain", "nameless", "gzip", "snappy", "lz4", "zstd", "aborted"]
CODECS: tuple[Way, ...] = ("gzip", "snappy", "lz4", "zstd")
BOMB_BYTES = 24 << 20
IDAT_BYTES = 96 << 20


@dataclass(frozen=True)
class Input:
    """A record to be sent.

    Attributes:
        what: its kind, for the account.
        value: of the record.
        headers: of the record.
        way: how it goes to the broker; `nameless`: with a header whose name is not UTF-8; `aborted`: in a transaction that is given up.
    """

    what: str
    value: bytes
    headers: list[tuple[str, bytes | None]] = field(default_factory=list)
    way: Way = "plain"


Maker = Callable[[random.Random, CameraFrame, list[bytes]], bytes]
"""From chance, a sound frame and other ok pictures to the value of a record."""


def changed(frame: CameraFrame, **fields: object) -> bytes:
    """Write a frame with fields that no writer of ours would write."""
    return bytes(msgpack.packb(frame.model_dump() | fields))


def with_image(frame: CameraFrame, image: bytes, **fields: object) -> bytes:
    """Write a frame with another picture and the digest of that one."""
    return changed(frame, image=image, image_digest=image_digest(image), **fields)


def _cut(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    value = encode(frame)
    return value[: rng.randrange(1, len(value))]


def _flipped(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    image = bytearray(frame.image)
    image[rng.randrange(len(image))] ^= 1 << rng.randrange(8)
    return changed(frame, image=bytes(image))


def _torn(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return with_image(frame, frame.image[: rng.randrange(1, len(frame.image) - 12)])


def _other(rng: random.Random, frame: CameraFrame, others: list[bytes]) -> bytes:
    return changed(frame, image=rng.choice([image for image in others if image != frame.image]))


def _twice(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    body = frame.model_dump()
    name = rng.choice(list(body))
    pairs = b"".join(msgpack.packb(k) + msgpack.packb(v) for k, v in [*body.items(), (name, body[name])])
    return bytes(msgpack.Packer().pack_map_header(len(body) + 1)) + pairs


def _wrong_field(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    name, value = rng.choice(_WRONG)
    return changed(frame, **{name: value})


_WRONG: list[tuple[str, Any]] = [
    ("v", 2), ("v", "1"), ("v", None), ("v", True), ("v", 2**63),
    ("line_id", "a/b"), ("camera_id", ""), ("part_id", "p" * 65), ("part_id", "ä"), ("line_id", b"line"), ("part_id", "../x"),
    ("seq", -1), ("seq", 1.0), ("seq", 2**60), ("seq", "1"), ("seq", float("nan")), ("seq", None), ("seq", [1]),
    ("captured_at", -1), ("captured_at", float("inf")), ("captured_at", 2**62), ("captured_at", None),
    ("budget_us", 0), ("budget_us", -5), ("budget_us", 10**15), ("budget_us", 1.5),
    ("encoding", "gif"), ("encoding", "raw"), ("encoding", "jpeg"), ("encoding", None),
    ("raw", {"width": 0, "height": 0, "pixel_format": "mono8"}), ("raw", []), ("image", "text"), ("image", b""), ("image", None),
    ("image_digest", "0" * 64), ("image_digest", "x"), ("image_digest", b"\0" * 32), ("is_simulated", 1), ("is_simulated", "no"),
    ("image_bytes", 7), ("image_uri", "s3://bucket/a.png"),
]  # fmt: skip


def _noise(rng: random.Random, _frame: CameraFrame, _: list[bytes]) -> bytes:
    return rng.randbytes(rng.choice([1, 10, 1000, 50_000]))


def _deep(rng: random.Random, _frame: CameraFrame, _: list[bytes]) -> bytes:
    return rng.choice([b"\x81\xa1a", b"\x91", b"\xdd\x00\x00\x00\x01"]) * rng.randrange(100, 30_000)


def _wide(rng: random.Random, _frame: CameraFrame, _: list[bytes]) -> bytes:
    empty = rng.choice([b"\x80", b"\x90", b"\xc0", b"\xa0"])
    count = rng.randrange(1000, 60_000)
    return b"\xdc" + count.to_bytes(2, "big") + empty * count


def _lying_length(rng: random.Random, _frame: CameraFrame, _: list[bytes]) -> bytes:
    head = rng.choice([b"\xdd", b"\xdf", b"\xdb", b"\xc6", b"\xc9"])
    return head + rng.choice([b"\xff" * 4, b"\x7f\xff\xff\xff", b"\x04\0\0\0"]) + rng.randbytes(20)


def _extension(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return changed(frame, part_id=msgpack.ExtType(rng.randrange(128), b"x" * rng.choice([1, 16, 300])))


def _too_large(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return with_image(frame, frame.image + bytes(rng.randrange(200_000, 900_000)))


def _raw(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    width, height = rng.choice([(64, 64), (65_535, 65_535), (1, 1), (65_536, 1), (64, 0)])
    form = {"width": width, "height": height, "pixel_format": rng.choice(["mono8", "rgb8", "mono16", "rgba8"])}
    return with_image(frame, rng.randbytes(4095), encoding="raw", raw=form)


def _future(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return changed(frame, captured_at=frame.captured_at + rng.randrange(60, 10**6) * 1_000_000)


def _late(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return changed(frame, budget_us=rng.randrange(1, 100))


def _stranger(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return changed(frame, camera_id=rng.choice(["zz", "A", "a-", "_"]))


def _shape(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    side = rng.choice([(64, 96), (1, 1), (64, 63), (4000, 8), (640, 320)])
    shape = (*side, 3) if rng.random() < 0.5 else side
    return with_image(frame, cv2.imencode(".png", np.full(shape, 128, np.uint8))[1].tobytes())


def _colour(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    gray = cv2.imdecode(np.frombuffer(frame.image, np.uint8), cv2.IMREAD_GRAYSCALE)
    return with_image(frame, cv2.imencode(rng.choice([".png"]), np.dstack([np.asarray(gray)] * 3))[1].tobytes())


def _huge_claim(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    side = rng.choice([60_000, 20_000, 65_535])
    return with_image(frame, jpeg_claiming(side, side, components=rng.choice([1, 3, 4])), encoding="jpeg")


def _odd_jpeg(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    marker, depth = rng.choice([(0xC3, 8), (0xC9, 8), (0xC1, 12), (0xC5, 8)])
    return with_image(frame, jpeg_claiming(64, 64, marker=marker, depth=depth), encoding="jpeg")


def _scans(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return with_image(frame, scan_bomb(64, 64, scans=rng.randrange(100, 8000)), encoding="jpeg")


def _pixels(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    return with_image(frame, _idat_bomb(rng.choice([IDAT_BYTES, IDAT_BYTES // 2])))


_bombs: dict[int, bytes] = {}


def _idat_bomb(num_bytes: int) -> bytes:
    """A PNG of 64 x 64 pixels whose data go on and on behind them, built once."""
    if num_bytes not in _bombs:
        _bombs[num_bytes] = png(64, 64, 8, 0, bytes(num_bytes))
    return _bombs[num_bytes]


def _metadata(rng: random.Random, frame: CameraFrame, _: list[bytes]) -> bytes:
    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(7_000_000)))
    return with_image(frame, frame.image[:33] + text * rng.randrange(10, 20) + frame.image[33:])


MAKERS: dict[str, Maker] = {
    "cut": _cut, "flipped": _flipped, "torn": _torn, "another picture": _other, "key twice": _twice, "wrong field": _wrong_field,
    "noise": _noise, "deep": _deep, "wide": _wide, "lying length": _lying_length, "extension": _extension, "too large": _too_large,
    "raw": _raw, "future": _future, "late": _late, "stranger": _stranger, "shape": _shape, "colour": _colour, "huge claim": _huge_claim,
    "odd jpeg": _odd_jpeg, "scan bomb": _scans, "pixel bomb": _pixels, "metadata bomb": _metadata,
    "empty": lambda _rng, _frame, _others: b"",
}  # fmt: skip


def headers_of(frame: CameraFrame) -> list[tuple[str, bytes | None]]:
    """Return the headers that belong to a frame."""
    return list(frame_headers(frame))


def _odd_headers(rng: random.Random, frame: CameraFrame) -> list[tuple[str, bytes | None]]:
    own = headers_of(frame)
    return rng.choice(
        [
            [*own, *[(f"x{number}", b"y" * 20) for number in range(500)]],
            [*own, ("x", bytes(20_000))],
            [*own, ("seq", b"999999")],
            [(name, None) for name, _ in own],
            [(name, b"\xff" * 70) for name, _ in own],
            [("seq", b"-1"), ("captured_at", b"1e9"), ("line_id", b"a/b")],
            [("", b""), *own],
            [],
        ]
    )


def draw(
    rng: random.Random, frame: CameraFrame, others: list[bytes], claims: Mapping[str, Callable[[CameraFrame], bytes]]
) -> Input:
    """Return one hostile input about `frame`, whose own picture is ok.

    Args:
        rng: chance.
        frame: sound; nobody else has its identity.
        others: other ok pictures.
        claims: frames that name their picture, by their kind.
    """
    kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
    name, codec, headers, way = rng.choice(sorted(MAKERS)), rng.choice(CODECS), headers_of(frame), "plain"
    if kind == "headers":
        name, headers = rng.choice(["noise", "cut", "deep"]), _odd_headers(rng, frame)
    elif kind in {"nameless", "aborted"}:
        return Input(WHAT[kind], encode(frame), headers, "nameless" if kind == "nameless" else "aborted")
    elif kind == "bombs":
        return Input(f"{codec} bomb", bytes(BOMB_BYTES), [], codec)
    elif kind == "claims":
        name = rng.choice(sorted(claims))
        return Input(f"claim: {name}", claims[name](frame), headers)
    elif kind == "codecs":
        name, way = rng.choice(["cut", "another picture", "wrong field", "torn"]), codec
    value = MAKERS[name](rng, frame, others)
    return Input(f"{kind}: {name}", value, headers, codec if way == codec else "plain")


SHARES = {"frames": 46, "headers": 10, "nameless": 7, "aborted": 5, "codecs": 10, "bombs": 2, "claims": 20}
"""Of the inputs, in hundredths."""

WHAT = {"nameless": "header name not UTF-8", "aborted": "aborted transaction"}
