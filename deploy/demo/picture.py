"""`python -m deploy.demo.picture`: the picture of a report for README, drawn from what a demo left behind.

Of each camera it shows the defects with the highest scores, in their order; none is picked by hand.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from deploy.demo.account import Account, CameraAccount, Received
from deploy.demo.cameras import CAMERAS, DemoCamera, is_ok
from deploy.demo.page import region_of
from deploy.local.broker import CHECKOUT
from inspector.anomaly.files import write_file
from inspector.anomaly.verdict.draw import draw_region_outlines, verdict_frame
from trainer.display.lettering import INK, PAPER, SOFT, draw_text, shorten
from trainer.pictures.files import read_picture

COLUMNS = 4
_WIDTH, _GAP, _EDGE = 1200, 16, 24
_TITLE, _TEXT, _CAPTION = 24, 15, 13
_JPEG_QUALITY = 82

Picture = NDArray[np.uint8]


def read_account(logs: Path, cameras: Sequence[DemoCamera]) -> Account:
    """Return the book of the replay, from the logs of its commands."""
    account = Account([camera.camera_id for camera in cameras])
    for camera in cameras:
        for line in _json_lines(logs / f"replay-{camera.camera_id}.log"):
            account.take_replay_line(camera.camera_id, line)
    for line in _json_lines(logs / "results.log"):
        account.take_result_line(line, 0)
    return account


def _json_lines(log: Path) -> list[str]:
    return [line for line in log.read_text(encoding="utf-8").splitlines() if line.startswith("{")]


def clearest(account: CameraAccount, count: int) -> list[tuple[Path, Received]]:
    """Return the rejected defects with the highest scores, the highest first, each with its first verdict."""
    first = [(image, given[0]) for image, given in account.by_image().items() if given and not is_ok(image)]
    rejected = [(image, received) for image, received in first if received.anomaly_class == "nok"]
    return sorted(rejected, key=lambda one: -(one[1].score or 0.0))[:count]


def draw_report(out: Path, cameras: Sequence[DemoCamera]) -> Picture:
    """Draw the cameras' clearest rejections, one camera below the other; (H, W, 3) RGB."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    account = read_account(out / "logs", cameras)
    parts: list[Picture] = []
    for camera in cameras:
        parts += _camera(out, camera, account.cameras[camera.camera_id], summary["cameras"][camera.camera_id])
    edge = np.full((_EDGE, _WIDTH, 3), PAPER, np.uint8)
    return np.concatenate([edge, *parts])


def _camera(out: Path, camera: DemoCamera, account: CameraAccount, figures: Mapping[str, Any]) -> list[Picture]:
    size = read_picture(camera.test_images()[0])
    chosen = clearest(account, COLUMNS * (1 if size.original_width > size.original_height else 2))
    cards = [_card(out, camera, image, received) for image, received in chosen]
    found, passed = figures["images_nok"] - figures["missed"], figures["images_ok"] - figures["false_rejects"]
    head = np.full((_TITLE + _TEXT + 30, _WIDTH, 3), PAPER, np.uint8)
    draw_text(head, camera.title, (_EDGE, _TITLE), size=_TITLE, bold=True)
    text = (
        f"{found} of {figures['images_nok']} defects rejected, {passed} of {figures['images_ok']} ok parts passed. "
        f"Shown: the {len(cards)} highest scores, with region and heat map."
    )
    draw_text(head, text, (_EDGE, _TITLE + _TEXT + 12), size=_TEXT, colour=SOFT)
    return [head, *(_row(cards[start : start + COLUMNS]) for start in range(0, len(cards), COLUMNS))]


def _card(out: Path, camera: DemoCamera, image: Path, received: Received) -> Picture:
    """The part with the region that came over Kafka, its heat map beside or below it, and a line of text."""
    picture = read_picture(image).image
    region = region_of(received)
    if region is not None:
        picture = draw_region_outlines(picture, region)
    name = image.relative_to(camera.test_folder)
    heat_map = read_picture(out / "pictures" / camera.camera_id / name.with_suffix(".png")).image
    width = (_WIDTH - 2 * _EDGE - (COLUMNS - 1) * _GAP) // COLUMNS
    is_wide = picture.shape[1] > picture.shape[0]
    each = width if is_wide else (width - 2) // 2
    both = [_fitted(verdict_frame(picture, "nok"), each), _fitted(heat_map, each)]
    height = max(one.shape[0] for one in both)
    both = [_padded(one, one.shape[0] if is_wide else height, each) for one in both]
    card = _padded(
        np.concatenate(both, axis=0 if is_wide else 1), sum(o.shape[0] for o in both) if is_wide else height, width
    )
    line = np.full((_CAPTION + 16, width, 3), PAPER, np.uint8)
    caption = f"{name.stem}   score {received.score:.2f}"
    draw_text(line, shorten(caption, width, size=_CAPTION), (0, _CAPTION + 3), size=_CAPTION, colour=INK)
    return np.concatenate([card, line])


def _fitted(picture: Picture, width: int) -> Picture:
    """Return it in this width."""
    height = round(picture.shape[0] * width / picture.shape[1])
    if width < picture.shape[1]:
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _padded(picture: Picture, height: int, width: int) -> Picture:
    padded = np.full((height, width, 3), PAPER, np.uint8)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    return padded


def _row(cards: Sequence[Picture]) -> Picture:
    row = np.full((max(card.shape[0] for card in cards), _WIDTH, 3), PAPER, np.uint8)
    x = _EDGE
    for card in cards:
        row[: card.shape[0], x : x + card.shape[1]] = card
        x += card.shape[1] + _GAP
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Draw the picture and return 0."""
    parser = argparse.ArgumentParser(prog="python -m deploy.demo.picture", description=__doc__)
    parser.add_argument("--demo", type=Path, default=CHECKOUT / "demo-out", metavar="DIR", help="what a demo left")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "report.jpg", metavar="FILE")
    options = parser.parse_args(arguments)
    picture = draw_report(options.demo, CAMERAS)
    _, content = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    write_file(options.out, content.tobytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
