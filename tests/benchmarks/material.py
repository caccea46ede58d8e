"""What all measurements share: frames of 1280 x 1024 pixels, and a model of 256 x 256 trained on such pictures."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import cv2

from deploy.local.broker import CHECKOUT
from inspector.bus.connect import producer_client
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import CameraSettings
from schemas import CameraFrame, encode, frame_headers, image_digest

SOURCE: Final = CHECKOUT / "tests" / "data" / "aws_cookie"
WIDTH, HEIGHT = 1280, 1024
INPUT_WIDTH, INPUT_HEIGHT = 256, 256
JPEG_QUALITY = 90
DEFECTS = 1
"""Of the 15 pictures that the cameras send in turn; defects are rare."""

SENT_AT_ONCE = 64


def enlarged(path: Path) -> bytes:
    """Return the middle of a picture, as a JPEG of the benchmark's size and quality."""
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(path)
    rows = picture.shape[1] * HEIGHT // WIDTH
    top = (picture.shape[0] - rows) // 2
    large = cv2.resize(picture[top : top + rows], (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    is_coded, data = cv2.imencode(".jpg", large, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    if not is_coded:
        raise RuntimeError(f"OpenCV cannot encode {path}")
    return data.tobytes()


def write_pictures(folder: Path) -> Path:
    """Write what the cameras send to `folder / frames` and what the model learns from to `folder / train`."""
    test = SOURCE / "test"
    frames = [*sorted((test / "good").iterdir()), *sorted((test / "cracked").iterdir())[:DEFECTS]]
    for name, paths in (("train", sorted((SOURCE / "train" / "good").iterdir())), ("frames", frames)):
        (folder / name).mkdir()
        for number, path in enumerate(paths):
            (folder / name / f"{number:02d}.jpg").write_bytes(enlarged(path))
    return folder / "frames"


def read_pictures(folder: Path) -> list[bytes]:
    """Return the encoded pictures of a folder, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def train(folder: Path) -> Path:
    """Train a model with the shipped settings on `folder / train`; return its bundle."""
    bundle = folder / "bundle"
    size = ["--width", str(INPUT_WIDTH), "--height", str(INPUT_HEIGHT)]
    command = [
        sys.executable,
        "-m",
        "trainer",
        "fit",
        "--quality",
        "fast",
        "--images",
        str(folder / "train"),
        "--out",
        str(bundle),
        *size,
    ]
    done = subprocess.run([*command, "--json"], cwd=CHECKOUT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"trainer fit ended with {done.returncode}:\n{done.stderr[-4000:]}")
    json.loads(done.stdout)
    return bundle


async def preload(
    kafka: KafkaSettings, topic: str, cameras: tuple[CameraSettings, ...], pictures: list[bytes], count: int
) -> None:
    """Publish `count` frames, of each camera in turn, as cameras do: identity, digest, headers."""
    producer = producer_client(kafka, max_request_size=16 << 20)
    await producer.start()
    try:
        waiting = []
        for number in range(count):
            camera = cameras[number % len(cameras)]
            image = pictures[number % len(pictures)]
            frame = CameraFrame(
                line_id=camera.line_id,
                camera_id=camera.camera_id,
                part_id=f"part-{number}",
                seq=number // len(cameras),
                captured_at=time.time_ns() // 1000,
                encoding="jpeg",
                image=image,
                image_digest=image_digest(image),
            )
            headers = list(frame_headers(frame))
            waiting.append(
                await producer.send(
                    topic, encode(frame), camera.key.encode(), partition=camera.partition, headers=headers
                )
            )
            if len(waiting) == SENT_AT_ONCE:
                for sent in waiting:
                    await sent
                waiting.clear()
        for sent in waiting:
            await sent
    finally:
        await producer.stop()
