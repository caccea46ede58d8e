"""Stores of a hostile line: a folder with traps, and an S3 that hangs, lies and sends elsewhere; both with sound pictures beside."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from schemas import CameraFrame, encode, image_digest
from tests.stores import S3Like, s3_like

FAULTS = ("hang", "drip", "cut", "redirect", "longer", "endless", "busy", "no http")
TRICKS = (
    "s3://bucket/lines/../other/good.png",
    "s3://bucket/lines/%2e%2e/other/good.png",
    "s3://bucket/lines/..%2fother/good.png",
    "s3://bucket/other/good.png",
    "s3://bucket/linesX/good.png",
    "s3://Bucket/lines/good.png",
    "s3://bucket/lines/good.png?versionId=1",
    "s3://bucket/lines/good.png.",
    "s3://bucket@{elsewhere}/lines/good.png",
    "s3://{elsewhere}/lines/good.png",
    "http://{elsewhere}/bucket/lines/good.png",
    "http://{elsewhere}@{store}/bucket/lines/good.png",
    "//{elsewhere}/bucket/lines/good.png",
    "file://{elsewhere}/{folder}/good.png",
    "file:///{folder}/../secret.png",
    "file:///{folder}/%2e%2e/secret.png",
    "file:///{folder}/up/secret.png",
    "file:///{folder}/link.png",
    "file:///{folder}/pipe.png",
    "file:///{folder}/sub",
    "file:///{folder}/none.png",
    "file:///etc/passwd",
    "file:///proc/self/environ",
    "file:///dev/zero",
    "s3://bucket/lines/\u2025/other/good.png",
    "s3://bucket/lines/none.png",
)


@dataclass(frozen=True)
class Stores:
    """Where pictures lie; `good` is an ok picture that lies in every place that somebody may be led to."""

    s3: S3Like
    elsewhere: S3Like
    folder: Path
    good: bytes

    @property
    def settings(self) -> dict[str, object]:
        """Of the service, by dotted name."""
        return {
            "store.allowed_prefixes": ["s3://bucket/lines/", f"file://{self.folder}/"],
            "store.endpoint": self.s3.endpoint,
            "store.fetch_timeout_ms": 3000,
            "store.concurrency": 4,
        }

    def hostile(self) -> Mapping[str, Callable[[CameraFrame], bytes]]:
        """What writes a claim that must not pass, by its kind."""
        places = {
            "elsewhere": self.elsewhere.endpoint.removeprefix("http://"),
            "store": self.s3.endpoint.removeprefix("http://"),
            "folder": str(self.folder).removeprefix("/"),
        }
        kinds: dict[str, Callable[[CameraFrame], bytes]] = {}
        for trick in TRICKS:
            kinds[trick] = self._of(trick.format(**places))
        for fault in FAULTS:
            if fault != "longer":  # what follows the stated bytes is not read, and the picture is what it should be
                kinds[f"a store with the fault {fault}"] = self._of(f"s3://bucket/lines/{fault.replace(' ', '_')}.png")
        good = "s3://bucket/lines/good.png"
        kinds["another size"] = self._of(good, image_bytes=len(self.good) + 1)
        kinds["another digest"] = self._of(good, image_digest="0" * 64)
        kinds["another digest of a file"] = self._of(f"file://{self.folder}/good.png", image_digest="0" * 64)
        kinds["too large"] = self._of(good, image_bytes=10_000_000)
        return kinds

    def sound(self, frame: CameraFrame) -> bytes:
        """Write a claim like any other."""
        place = f"file://{self.folder}/good.png" if frame.seq % 2 else "s3://bucket/lines/good.png"
        return self._of(place)(frame)

    def _of(self, uri: str, **fields: object) -> Callable[[CameraFrame], bytes]:
        named = {"image_uri": uri, "image_bytes": len(self.good), "image_digest": image_digest(self.good)} | fields
        return lambda frame: encode(frame.model_copy(update={"image": b"", **named}))


@contextmanager
def hostile_stores(good: bytes) -> Iterator[Stores]:
    """Lay out the folder, start both servers."""
    with tempfile.TemporaryDirectory(prefix="stores-") as name, s3_like() as s3, s3_like() as elsewhere:
        yield _laid_out(Path(name).resolve(), good, s3, elsewhere)


def _laid_out(folder: Path, good: bytes, s3: S3Like, elsewhere: S3Like) -> Stores:
    inside = folder / "frames"
    (inside / "sub").mkdir(parents=True)
    (inside / "good.png").write_bytes(good)
    (folder / "secret.png").write_bytes(good)
    (inside / "link.png").symlink_to(folder / "secret.png")
    (inside / "up").symlink_to(folder)
    os.mkfifo(inside / "pipe.png")
    for name in (
        "lines/good.png",
        "other/good.png",
        "linesX/good.png",
        *(f"lines/{f.replace(' ', '_')}.png" for f in FAULTS),
    ):
        s3.put(f"bucket/{name}", good)
        elsewhere.put(f"bucket/{name}", good)
    s3.misbehave |= {f"/bucket/lines/{fault.replace(' ', '_')}.png": fault for fault in FAULTS}
    s3.redirect_to = elsewhere.endpoint
    return Stores(s3, elsewhere, inside, good)
