from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.text import Text

from deploy.demo.cameras import DemoCamera
from deploy.demo.picture import draw_report, main, read_account, shown
from deploy.demo.playback import SCREEN_LOG
from deploy.demo.views.screen import as_ansi
from inspector.anomaly.verdict.draw import NOK_COLOUR, OK_COLOUR
from tests.unit.deploy.demo.test_account import result_line, sent_line

SCORES = {"good/a": 0.9, "good/d": 0.1, "good/e": 0.2, "crack/a": 0.7, "crack/b": 0.8, "crack/c": 0.3}


@pytest.fixture(params=[(96, 64), (64, 96)], ids=["wide", "tall"])
def left(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, DemoCamera]:
    """What a demo left behind, and its camera."""
    width, height = request.param
    camera = DemoCamera("top", "Top view", tmp_path / ("wide" if width > height else "tall"), 0)
    (tmp_path / "logs").mkdir()
    sent, results = [], ["INFO a line that is no result"]
    for name, score in SCORES.items():
        image = camera.test_folder / f"{name}.jpg"
        for path in (image, tmp_path / "pictures" / "top" / f"{name}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((height, width, 3), 128, np.uint8))
        for number in range(2):  # each image is shown twice
            sent.append(sent_line(f"{name}-{number}", file=str(image)))
            verdict = "nok" if score >= 0.5 else "ok"
            results.append(result_line(f"{name}-{number}", anomaly_score=score, anomaly_class=verdict))
    (tmp_path / "logs" / "replay-top.log").write_text("\n".join(sent))
    (tmp_path / "logs" / "results.log").write_text("\n".join(results))
    figures = {"images_nok": 3, "missed": 1, "images_ok": 3, "false_rejects": 1}
    (tmp_path / "summary.json").write_text(json.dumps({"cameras": {"top": figures}}))
    return tmp_path, camera


def test_passed_ok_parts_come_before_the_rejected_defects_with_the_highest_scores(
    left: tuple[Path, DemoCamera],
) -> None:
    out, camera = left
    account = read_account(out / "logs", [camera]).cameras["top"]
    assert [image.stem for image, _ in shown(account, 2, 4)] == ["d", "e", "b", "a"], "a is rejected, c is missed"
    assert [image.stem for image, _ in shown(account, 1, 1)] == ["d", "b"]


def test_each_is_drawn_in_the_frame_of_its_verdict(left: tuple[Path, DemoCamera]) -> None:
    out, camera = left
    picture = draw_report(out, [camera])
    for colour, expected in ((NOK_COLOUR, 2), (OK_COLOUR, 1 if camera.test_folder.parent.name == "wide" else 2)):
        framed = (picture == colour).all(axis=2).astype(np.uint8)
        _, _, sizes, _ = cv2.connectedComponentsWithStats(framed)
        assert int((sizes[1:, cv2.CC_STAT_WIDTH] > 100).sum()) == expected


def test_the_terminal_is_drawn_below_the_parts_where_the_demo_kept_it(left: tuple[Path, DemoCamera]) -> None:
    out, camera = left
    without = draw_report(out, [camera])
    (out / "logs" / SCREEN_LOG).write_text(as_ansi(Text("latest verdicts")), encoding="utf-8")
    picture = draw_report(out, [camera])
    assert picture.shape[0] > without.shape[0]
    assert (picture[: without.shape[0]] == without).all()


def test_the_command_writes_a_jpeg(
    left: tuple[Path, DemoCamera], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, camera = left
    monkeypatch.setattr("deploy.demo.picture.CAMERAS", [camera])
    assert main(["--demo", str(out), "--out", str(tmp_path / "report.jpg")]) == 0
    assert cv2.imread(str(tmp_path / "report.jpg")) is not None
