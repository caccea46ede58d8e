"""Damaged bundles: each is refused, or says what it said; a load that changes a verdict is the promise missed.

The loader is the service's own, called in this process: thousands of starts of a process would show the same in hours.
"""

from __future__ import annotations

import collections
import importlib
import json
import os
import random
import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import BundleError
from inspector.anomaly.model.bundle import read_dl_model
from inspector.anomaly.model.manifest import MANIFEST_NAME, read_manifest
from tests.chaos.campaign import Campaign, Context
from tests.models import make_bundle, nok_image, ok_image

FLIPS = (0x01, 0x10, 0x20, 0x80)
SAME = 1e-6
SHOWN = 5


class Said(NamedTuple):
    """What a model says of the same pictures: its scores, and the thresholds that make classes of them."""

    scores: list[float]
    classification: float
    segmentation: float


class Damage(NamedTuple):
    """What is done to a copy of the bundle."""

    kind: str
    do: Callable[[Path], None]
    only_manifest: bool = False
    """Whether nothing but the manifest was touched: where it is refused or says the same, the rest need not be loaded."""


async def run(context: Context) -> None:
    """Do every damage to a copy, and load it as the service does."""
    if not context.mutation:
        return _run(context)
    mutation = importlib.import_module(f"tests.chaos.mutations.{context.mutation}")
    mutation.install()
    try:
        return _run(context)
    finally:
        mutation.remove()


def _run(context: Context) -> None:
    bundle = context.bundle()
    other = make_bundle(context.folder / "other", channels=1, seed=7)
    pictures = _pictures(context.seed)
    expected, manifest = say(bundle, pictures), read_manifest(bundle)[0]
    copy = context.folder / "copy"
    done: collections.Counter[str] = collections.Counter()
    refused, changed, surprised = 0, list[str](), list[str]()
    for damage in damages(bundle, other, context.rng, flips=context.counts["flips"], every=context.counts["every"]):
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(bundle, copy, copy_function=os.link)  # whoever writes takes the link away
        damage.do(copy)
        done[damage.kind] += 1
        try:
            if damage.only_manifest and read_manifest(copy)[0] == manifest:
                continue
            said = say(copy, pictures)
        except BundleError as exc:
            refused += 1
            if not str(exc):
                surprised.append(f"{damage.kind}: no sentence")
        except Exception as exc:  # noqa: BLE001 whatever it is, an operator would see a traceback
            surprised.append(f"{damage.kind}: {type(exc).__name__}: {exc}"[:300])
        else:
            if differs(said, expected):
                changed.append(f"{damage.kind}: {said} instead of {expected}"[:500])
    total = sum(done.values())
    context.row(
        "no damaged bundle changes a verdict",
        trials=total,
        figure=f"{total} damages of {len(done)} kinds: {refused} refused, {total - refused - len(changed) - len(surprised)} say "
        f"what they said, {len(changed)} changed",
        held=not changed,
        changed=changed[:SHOWN],
        kinds=dict(done),
    )
    context.row(
        "a damaged bundle is refused with a sentence", trials=total, figure=f"{len(surprised)} otherwise", held=not surprised,
        surprised=surprised[:SHOWN],
    )  # fmt: skip


def say(bundle: Path, pictures: list[NDArray[np.uint8]]) -> Said:
    """Load a bundle and judge the pictures.

    Raises:
        BundleError: It cannot be used.
    """
    model = read_dl_model(bundle)
    if model.thresholds is None:
        raise BundleError("it has no thresholds")
    scores = [result.anomaly_score for result in model.launch(pictures).finish()]
    return Said(scores, model.thresholds.classification, model.thresholds.segmentation)


def differs(said: Said, expected: Said) -> bool:
    """Whether a model says anything else than it should."""
    if (said.classification, said.segmentation) != (expected.classification, expected.segmentation):
        return True
    return bool(np.abs(np.subtract(said.scores, expected.scores)).max() > SAME)


def _pictures(seed: int) -> list[NDArray[np.uint8]]:
    import cv2

    rng = np.random.default_rng(seed)
    drawn = [draw(rng, channels=1) for draw in (ok_image, nok_image) for _ in range(3)]
    return [np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8) for png in drawn]


def damages(bundle: Path, other: Path, rng: random.Random, *, flips: int, every: int) -> Iterator[Damage]:
    """Every byte (or each of so `every`) of the manifest in `flips` ways, one byte of each tensor, each file in twenty kinds of damage."""
    manifest = (bundle / MANIFEST_NAME).read_bytes()
    for flip in FLIPS[:flips]:
        for at in range(0, len(manifest), every):
            yield Damage(f"a byte of the manifest, {flip:#04x}", _flip(MANIFEST_NAME, at, flip), only_manifest=True)
    for path in sorted(bundle.glob("*.safetensors")):
        for begin, end in _tensors(path):
            yield Damage("a byte of a tensor", _flip(path.name, rng.randrange(begin, end), 1 << rng.randrange(8)))
        for at in range(0, _head_bytes(path), max(1, _head_bytes(path) // (25 * flips))):
            yield Damage("a byte of a head of tensors", _flip(path.name, at, 0x01))
    for path in sorted(bundle.iterdir()):
        yield from _kinds(path.name, path.stat().st_size, other, rng)
    yield Damage("all files of another bundle but the manifest", lambda copy: _take_others(copy, other))
    yield Damage(
        "the manifest of another bundle", lambda copy: _copy(other / MANIFEST_NAME, copy / MANIFEST_NAME), True
    )
    for field in ("classification", "segmentation"):
        yield Damage("a threshold by hand", _edit(field), only_manifest=True)


def _kinds(name: str, size: int, other: Path, rng: random.Random) -> Iterator[Damage]:
    half, at = size // 2, rng.randrange(max(1, size - 8))
    kinds: dict[str, Callable[[bytes], bytes]] = {
        "cut to half": lambda data: data[:half],
        "without its last byte": lambda data: data[:-1],
        "without its first byte": lambda data: data[1:],
        "cut to nothing": lambda _: b"",
        "with a byte behind": lambda data: data + b"\0",
        "with a line behind": lambda data: data + b"\n",
        "twice": lambda data: data * 2,
        "all zeros": lambda data: bytes(len(data)),
        "a hole of zeros": lambda data: data[:half] + bytes(512) + data[half + 512 :],
        "bytes swapped": lambda data: data[:at] + data[at : at + 8][::-1] + data[at + 8 :],
        "blocks swapped": lambda data: data[half:] + data[:half],
        "noise": lambda data: rng.randbytes(len(data)),
        "line ends of another system": lambda data: data.replace(b"\n", b"\r\n"),
        "text as UTF-16": lambda data: data.decode("latin-1").encode("utf-16"),
        "with a byte order mark": lambda data: b"\xef\xbb\xbf" + data,
        "a zip": lambda _: b"PK\x03\x04" + bytes(100),
        "a pickle": lambda _: b"\x80\x04\x95\x10\0\0\0\0\0\0\0\x8c\x08builtins.",
    }
    for kind, change in kinds.items():
        yield Damage(kind, _rewrite(name, change))
    yield Damage("missing", lambda copy: (copy / name).unlink())
    yield Damage("a folder in its place", lambda copy: _as_folder(copy / name))
    yield Damage("that of another bundle", lambda copy: _copy(other / name, copy / name))
    yield Damage("another file of the bundle", lambda copy: _swap(copy, name))


def _flip(name: str, at: int, flip: int) -> Callable[[Path], None]:
    return _rewrite(name, lambda data: data[:at] + bytes([data[at] ^ flip]) + data[at + 1 :])


def _rewrite(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def do(copy: Path) -> None:
        path = copy / name
        _write(path, change(path.read_bytes()))

    return do


def _edit(field: str) -> Callable[[Path], None]:
    def change(data: bytes) -> bytes:
        document = json.loads(data)
        document["thresholds"][field] = 0.9
        return json.dumps(document, indent=2).encode()

    return _rewrite(MANIFEST_NAME, change)


def _copy(source: Path, target: Path) -> None:
    if source.exists():
        _write(target, source.read_bytes())


def _write(path: Path, data: bytes) -> None:
    path.unlink()
    path.write_bytes(data)


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _swap(copy: Path, name: str) -> None:
    names = sorted(path.name for path in copy.iterdir())
    other = names[(names.index(name) + 1) % len(names)]
    _write(copy / name, (copy / other).read_bytes())


def _take_others(copy: Path, other: Path) -> None:
    for path in other.glob("*.safetensors"):
        _copy(path, copy / path.name)


def _head_bytes(path: Path) -> int:
    return 8 + int(struct.unpack("<Q", path.read_bytes()[:8])[0])


def _tensors(path: Path) -> Iterator[tuple[int, int]]:
    """Yield begin and end of each tensor's bytes in a safetensors file."""
    data, base = path.read_bytes(), _head_bytes(path)
    for name, entry in json.loads(data[8:base]).items():
        if name != "__metadata__":
            begin, end = entry["data_offsets"]
            if end > begin:
                yield base + begin, base + end


CAMPAIGN = Campaign(
    name="bundles",
    summary="every byte of the manifest and one of each tensor flipped, each file damaged in twenty kinds",
    full={"flips": 4, "every": 1},
    smoke={"flips": 1, "every": 4},
    run=run,
    mutations={"manifest_unsealed": "no damaged bundle changes a verdict"},
    mutated={"flips": 1, "every": 40},
)
