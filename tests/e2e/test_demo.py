"""The demo's machinery on the embedded broker, with few images; and its end when it is interrupted.

The whole demo, with its own images and their figures, is `make demo`.
"""

from __future__ import annotations

import io
import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from rich.console import Console

from deploy.demo.__main__ import REPORT_NAME, SUMMARY_NAME, Terminated, run_show
from deploy.demo.account import Account
from deploy.demo.cameras import CAMERAS, DemoCamera
from deploy.demo.playback import Playback
from deploy.demo.show import Show
from deploy.demo.stage import Stage
from deploy.local.broker import CHECKOUT
from tests.e2e.offspring import Offspring
from tests.fits import SMALL
from tests.models import make_bundle
from tests.signals import arriving

NUM_TRAIN, NUM_TEST = 12, 3
pytestmark = pytest.mark.slow


@pytest.fixture
def cameras(tmp_path: Path) -> list[DemoCamera]:
    """The demo's cameras with a few of their images."""
    made = []
    for camera in CAMERAS:
        images = tmp_path / "data" / camera.camera_id
        for folder in ("train/good", "test/good", "test/anomaly", "test/cracked"):
            count = NUM_TRAIN if folder == "train/good" else NUM_TEST
            for path in sorted((camera.images / folder).glob("*.jpg"))[:count]:
                (images / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(path, images / folder)
        # How good the models are is not the question here; the README's commands and the trainer's tests fit the default one.
        quick = (*camera.fit_options, "--quality", "fast", *SMALL)
        made.append(replace(camera, images=images, fit_options=quick))
    return made


@pytest.fixture(autouse=True)
def embedded_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KAFKA_BOOTSTRAP", raising=False)
    monkeypatch.delenv("KAFKA_HOME", raising=False)


@pytest.fixture(autouse=True)
def started() -> Iterator[Offspring]:
    """Whatever a test has started; what is left of it when the test fails midway is ended."""
    with Offspring().ended() as started:
        yield started


@pytest.fixture
def no_process_is_left(started: Offspring) -> Iterator[None]:
    yield
    assert started.commands() == []


def test_a_short_demo(cameras: list[DemoCamera], tmp_path: Path, no_process_is_left: None) -> None:
    out = tmp_path / "out"
    screen = io.StringIO()
    stage = Stage(out, Console(file=screen, width=120))

    run_show(stage, Show(stage, frames=20, cameras=cameras))

    summary = json.loads((out / SUMMARY_NAME).read_text())
    # Of each camera six images, in two cycles. How good models of so few images are is not the question.
    assert (summary["frames"], summary["verdicts"], summary["missing"], summary["duplicates"]) == (24, 24, 0, 0)
    assert sum(summary["statuses"].values()) == 24
    assert summary["strangers"] == 0
    assert summary["calibration"]["frames"] == 12
    assert "Tansu" in summary["broker"]
    assert set(summary["cameras"]) == {"cookies", "aliens"}
    for figures in summary["cameras"].values():
        assert (figures["frames"], figures["images"], figures["images_ok"], figures["images_nok"]) == (12, 6, 3, 3)
        assert {"auroc", "false_rejects", "missed", "p50_ms", "p99_ms", "on_time"} <= set(figures)
        # The same picture has the same score in every batch, and without the broker.
        assert figures["score_spread"] < 1e-5
        assert figures["offline_difference"] < 1e-5
    assert not [fault for fault in summary["faults"] if "ended with status" in fault]
    assert (out / REPORT_NAME).read_text().count("data:image/jpeg;base64,") == 24
    assert "kafka.idempotent is off" in screen.getvalue()
    assert {path.name for path in (out / "logs").iterdir()} >= {"inspector.log", "results.log", "replay-aliens.log"}
    assert "24 of 24 verdicts" in screen.getvalue()


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupted_demo_leaves_nothing_behind(
    number: signal.Signals, status: int, tmp_path: Path, started: Offspring
) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-m", "deploy.demo", "--out", str(out)]
    with arriving(number):
        demo = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    # The block closes its pipe however the test ends: else it is found open when garbage is collected, in some other test.
    with demo:
        try:
            give_up = time.monotonic() + 120
            while not any("trainer" in command for command in started.commands()):
                assert demo.poll() is None, demo.communicate()[0]
                assert time.monotonic() < give_up
                time.sleep(0.1)
            demo.send_signal(number)
            screen, _ = demo.communicate(timeout=60)
        finally:
            demo.kill()

    assert demo.returncode == status
    assert "everything that was started has been stopped" in screen
    assert started.commands() == []


def test_nothing_is_left_when_it_ends_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Offspring, no_process_is_left: None
) -> None:
    seen: list[str] = []

    def fit(show: Show, camera: DemoCamera) -> dict[str, Any]:
        make_bundle(tmp_path / "out" / "models", name=camera.model)
        return {}

    def interrupted(playback: Playback, verb: str, commands: object, **_: object) -> Account:
        seen.extend(started.commands())
        raise Terminated(signal.SIGINT)

    monkeypatch.setattr(Show, "_learn", fit)
    monkeypatch.setattr(Playback, "run", interrupted)
    stage = Stage(tmp_path / "out", Console(file=io.StringIO()))

    with pytest.raises(Terminated):
        run_show(stage, Show(stage))

    for part in ("inspector run", "inspector results", "tansu"):
        assert any(part in command for command in seen), seen
    # It was asked to end, and did so in order.
    assert "SIGTERM: finishing the frames in flight" in (stage.logs / "inspector.log").read_text()
    assert not (stage.out / SUMMARY_NAME).exists()


PARENT = """
import subprocess, sys
child = subprocess.Popen(
    [sys.executable, "-c", "import time; time.sleep(600)"], stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL, start_new_session=True
)
print(child.pid, flush=True)
"""


def test_what_a_demo_that_died_has_left_is_ended_and_nothing_else() -> None:
    sleeping = [sys.executable, "-c", "import time; time.sleep(600)"]
    stranger = subprocess.Popen(sleeping)
    try:
        with Offspring().ended() as left:
            parent = subprocess.run([sys.executable, "-c", PARENT], capture_output=True, text=True, check=True)
            orphan = psutil.Process(int(parent.stdout))
            assert left.alive() == [orphan]
        assert not orphan.is_running() or orphan.status() == psutil.STATUS_ZOMBIE
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
