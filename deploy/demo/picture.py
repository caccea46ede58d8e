"""`python -m deploy.demo.picture`: the first picture of README and docs, drawn from what a demo left behind.

Of each camera it shows the passed ok parts with the lowest scores and the rejected defects with the highest; none is picked by hand.
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
from deploy.demo.playback import SCREEN_LOG
from deploy.demo.views.page import region_of
from deploy.demo.views.screen import draw_screen
from deploy.local.broker import CHECKOUT
from inspector.anomaly.files import write_file
from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR, draw_region_outlines
from trainer.display.lettering import PAPER, SOFT, draw_text
from trainer.pictures.files import read_picture

_WIDTH, _GAP, _EDGE = 1200, 16, 24
_TITLE, _TEXT, _VERDICT = 24, 15, 18
_FRAME, _BAR = 5, 30
_WHITE = (255, 255, 255)
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


def shown(account: CameraAccount, n_ok: int, n_nok: int) -> list[tuple[Path, Received]]:
    """Return parts with right verdicts, each with its first one.

    Ok parts that passed come first, the lowest scores first; then the rejected defects with the highest scores, highest first.
    """
    first = [(image, given[0]) for image, given in account.by_image().items() if given]
    passed = [one for one in first if is_ok(one[0]) and one[1].anomaly_class == "ok"]
    rejected = [one for one in first if not is_ok(one[0]) and one[1].anomaly_class == "nok"]
    return (
        sorted(passed, key=lambda one: one[1].score or 0.0)[:n_ok]
        + sorted(rejected, key=lambda one: -(one[1].score or 0.0))[:n_nok]
    )


def draw_report(out: Path, cameras: Sequence[DemoCamera]) -> Picture:
    """Draw a row of parts for each camera, and the terminal below them if the demo kept it; (H, W, 3) RGB."""
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    account = read_account(out / "logs", cameras)
    parts = [np.full((_EDGE, _WIDTH, 3), PAPER, np.uint8)]
    for camera in cameras:
        parts += _camera(camera, account.cameras[camera.camera_id], summary["cameras"][camera.camera_id])
    screen = out / "logs" / SCREEN_LOG
    if screen.exists():
        parts += _terminal(screen.read_text(encoding="utf-8"))
    return np.concatenate(parts)


def _camera(camera: DemoCamera, account: CameraAccount, figures: Mapping[str, Any]) -> list[Picture]:
    size = read_picture(camera.test_images()[0])
    columns, n_ok = (4, 1) if size.original_width > size.original_height else (6, 2)
    chosen = shown(account, n_ok, columns - n_ok)
    width = (_WIDTH - 2 * _EDGE - (columns - 1) * _GAP) // columns
    found, passed = figures["images_nok"] - figures["missed"], figures["images_ok"] - figures["false_rejects"]
    text = f"{passed} of {figures['images_ok']} ok parts passed, {found} of {figures['images_nok']} defects rejected"
    return [_heading(camera.title, text), _row([_card(image, received, width) for image, received in chosen])]


def _heading(title: str, text: str) -> Picture:
    head = np.full((_TITLE + _TEXT + 30, _WIDTH, 3), PAPER, np.uint8)
    draw_text(head, title, (_EDGE, _TITLE), size=_TITLE, bold=True)
    draw_text(head, text, (_EDGE, _TITLE + _TEXT + 12), size=_TEXT, colour=SOFT)
    return head


def _card(image: Path, received: Received, width: int) -> Picture:
    """The part with the region that came over Kafka, framed and named by its verdict."""
    picture = _fitted(read_picture(image).image, width)
    region = region_of(received)
    if region is not None and received.anomaly_class == "nok":
        picture = draw_region_outlines(picture, region)
    is_passed = received.anomaly_class == "ok"
    colour = OK_COLOUR if is_passed else NOK_COLOUR
    card = np.empty((picture.shape[0] + _BAR + _FRAME, width, 3), np.uint8)
    card[:] = colour
    inner = _fitted(picture, width - 2 * _FRAME)
    card = card[: inner.shape[0] + _BAR + _FRAME]
    card[_BAR : _BAR + inner.shape[0], _FRAME : _FRAME + inner.shape[1]] = inner
    draw_text(card, "OK" if is_passed else "NOK", (_FRAME + 4, _BAR - 9), size=_VERDICT, colour=_WHITE, bold=True)
    score = f"{received.score:.2f}"
    draw_text(card, score, (width - 46, _BAR - 9), size=_TEXT, colour=_WHITE)
    return np.concatenate([card, np.full((_GAP, width, 3), PAPER, np.uint8)])


def _terminal(ansi: str) -> list[Picture]:
    edge = np.full((_EDGE, _WIDTH, 3), PAPER, np.uint8)
    screen = draw_screen(ansi, _WIDTH - 2 * _EDGE)
    framed = np.full((screen.shape[0], _WIDTH, 3), PAPER, np.uint8)
    framed[:, _EDGE : _WIDTH - _EDGE] = screen
    return [
        _heading("Live", "The demo's terminal: every frame of both cameras gets a verdict"),
        framed,
        edge,
    ]


def _fitted(picture: Picture, width: int) -> Picture:
    """Return it in this width."""
    height = round(picture.shape[0] * width / picture.shape[1])
    if width < picture.shape[1]:
        return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


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
