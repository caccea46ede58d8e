"""The demo itself: each step a public command, from an empty folder to pictures."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from deploy.demo.account import Account
from deploy.demo.cameras import (
    CAMERAS,
    DemoCamera,
    apply_command,
    fit_command,
    replay_command,
    results_command,
    run_command,
    settings_toml,
    topics_command,
)
from deploy.demo.children import Child, DemoError
from deploy.demo.playback import Playback
from deploy.demo.stage import Stage
from deploy.demo.summary import Run
from deploy.demo.views.live import LiveTable
from deploy.local.base import LOOPBACK, Broker, BrokerStartError, free_port
from deploy.local.broker import running_broker

DEFAULT_FRAMES = 1_024
READY_TIMEOUT_S = 180.0
# A burst may take longer than a camera's budget, and is to be inspected all the same.
BURST_BUDGET_MS = 300_000
# What the cameras ask of what the machine showed in the burst: a desk computer has other things to do, too.
LOAD, HIGHEST_LOAD = 0.5, 0.8
MAX_FPS = 30.0
PATIENCE_S = 80.0
_POLL_S = 0.1


class Show:
    """One run of the demo: `play` does everything, the other methods are its steps."""

    def __init__(self, stage: Stage, *, frames: int = DEFAULT_FRAMES, cameras: Sequence[DemoCamera] = CAMERAS) -> None:
        self._stage = stage
        self._frames = frames
        self._cameras = cameras
        self._playback = Playback(stage)
        self._bundles = stage.out / "models"
        self._config = stage.out / "inspector.toml"
        self._faults: list[str] = []

    @property
    def pictures(self) -> Path:
        """Where `trainer apply` puts its pictures: a folder for each camera."""
        return self._stage.out / "pictures"

    def play(self) -> Run:
        """Run all steps; what was started is ended in any case, clients before the inspector before the broker.

        Raises:
            DemoError: A step failed.
        """
        for folder in (self._stage.logs, self._bundles, self._stage.out / "broker"):
            folder.mkdir(parents=True)
        models = {camera.camera_id: self._learn(camera) for camera in self._cameras}
        with ExitStack() as stack:
            with self._stage.step("start"):
                broker = stack.enter_context(self._broker())
                inspector, reader = self._start(stack, broker)
            calibration = self._burst(inspector, reader)
            account = self._inspect(inspector, reader, calibration.throughput_fps)
            self._stop(inspector, reader)
        return Run(
            broker=broker,
            cameras=self._cameras,
            account=account,
            calibration=calibration,
            models=models,
            seconds=self._stage.seconds,
            offline_scores=self._draw(),
            faults=self._faults,
            commands=self._stage.commands,
        )

    def _learn(self, camera: DemoCamera) -> dict[str, Any]:
        """Fit a model on the camera's ok images."""
        name = f"fit-{camera.camera_id}"
        self._stage.heading(f"Learn what an ok part looks like: {camera.title}")
        with self._stage.step(name):
            outcome = self._stage.output_of(name, fit_command(camera, self._bundles / camera.model))
        self._stage.say(
            f"trained on {outcome['n_train']} ok images in {self._stage.seconds[name]:.0f} s; on its test images: "
            f"AUROC {outcome['image_auroc']:.4f}, {outcome['recall']:.0%} of the defects found"
        )
        return outcome

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        self._stage.heading("Start a broker")
        with ExitStack() as stack:
            try:
                broker = stack.enter_context(running_broker(self._stage.out / "broker", embedded=True))
            except BrokerStartError as exc:
                raise DemoError(f"no broker: {exc}") from exc
            self._stage.say(f"{broker.name} on {broker.bootstrap_servers}")
            if not broker.supports_idempotence:
                self._stage.say(
                    "it has no idempotent producer, so kafka.idempotent is off here; with Apache Kafka it is on"
                )
            yield broker

    def _start(self, stack: ExitStack, broker: Broker) -> tuple[Child, Child]:
        """Create the topics, start the inspector and wait until it is ready; return it and the reader of results."""
        self._stage.heading("Start the inspector")
        # Names of this run alone: the broker may be somebody's own.
        prefix = f"demo-{uuid.uuid4().hex[:8]}"
        port = free_port()
        config = settings_toml(broker, prefix=prefix, http_port=port, bundles=self._bundles, cameras=self._cameras)
        self._config.write_text(config, encoding="utf-8")
        with self._stage.start("topics", topics_command(self._config)) as topics:
            topics.must_succeed()
        begun = time.monotonic()
        inspector = stack.enter_context(self._stage.start("inspector", run_command(self._config)))
        wait_until_ready(inspector, port)
        self._stage.say(f"ready after {time.monotonic() - begun:.1f} s; metrics: http://{LOOPBACK}:{port}/metrics")
        reader = self._stage.start("results", results_command(self._config), on_line=self._playback.on_result)
        return inspector, stack.enter_context(reader)

    def _burst(self, inspector: Child, reader: Child) -> Account:
        """Send each image once, as fast as the broker takes them, to see what this machine can do."""
        self._stage.heading("Calibrate: every test image once, as fast as they go")
        commands = {
            camera: replay_command(camera, self._config, rate=0, budget_ms=BURST_BUDGET_MS) for camera in self._cameras
        }
        with self._stage.step("calibrate"):
            account = self._playback.run("calibrate", commands, watched=[inspector, reader])
        self._stage.say(f"{account.num_sent} frames, {account.throughput_fps:.1f} frames/s")
        if account.num_missing:
            raise inspector.failure(f"left {account.num_missing} of {account.num_sent} frames without a verdict")
        return account

    def _inspect(self, inspector: Child, reader: Child, capacity_fps: float) -> Account:
        """Be the cameras at a steady rate that this machine keeps up with."""
        images = self._image_counts()
        counts = frame_counts(images, self._frames)
        total = sum(counts.values())
        fps = steady_fps(capacity_fps, total)
        self._stage.heading(f"Inspect: {total} frames of {len(counts)} cameras, {fps:.1f} frames/s")
        # Each at its share of the rate, so that all end together.
        commands = {
            camera: replay_command(
                camera, self._config, rate=fps * count / total, count=count, first_seq=images[camera]
            )
            for camera, count in counts.items()
        }  # fmt: skip
        with self._stage.step("replay"):
            return self._playback.run(
                "replay",
                commands,
                watched=[inspector, reader],
                show=lambda account: LiveTable(self._cameras, account, total),
            )

    def _image_counts(self) -> dict[DemoCamera, int]:
        return {camera: len(camera.test_images()) for camera in self._cameras}

    def _stop(self, inspector: Child, reader: Child) -> None:
        """End the clients and the inspector, which has to drain and leave with status 0."""
        with self._stage.step("stop"):
            for child in (reader, inspector):
                status = child.stop()
                if status != 0:
                    self._faults.append(f"{child.name} ended with status {status} when it was asked to stop")

    def _draw(self) -> dict[Path, float]:
        """Score and draw the test images without a broker; return the scores by image."""
        self._stage.heading("Draw the report")
        scores: dict[Path, float | None] = {}
        with self._stage.step("draw"):
            for camera in self._cameras:
                command = apply_command(camera, self._bundles / camera.model, self.pictures / camera.camera_id)
                for line in self._stage.outputs_of(f"draw-{camera.camera_id}", command):
                    if line["event"] == "image":
                        scores[Path(line["image"])] = line["anomaly_score"]
        return {image: score for image, score in scores.items() if score is not None}


def frame_counts(images: Mapping[DemoCamera, int], frames: int) -> dict[DemoCamera, int]:
    """Return how many frames each camera sends: whole cycles, the same number for all, `frames` together at least."""
    cycles = max(1, -(-frames // sum(images.values())))
    return {camera: cycles * count for camera, count in images.items()}


def steady_fps(capacity_fps: float, frames: int) -> float:
    """Return the rate of all cameras together: half of what the machine can do; more where that would take too long."""
    return min(MAX_FPS, max(LOAD * capacity_fps, min(HIGHEST_LOAD * capacity_fps, frames / PATIENCE_S)))


def wait_until_ready(inspector: Child, port: int, *, timeout_s: float = READY_TIMEOUT_S) -> None:
    """Return once the inspector says that frames may flow.

    Raises:
        DemoError: It ended, or is not ready in time.
    """
    give_up = time.monotonic() + timeout_s
    why = ""
    while time.monotonic() < give_up:
        inspector.must_be_running()
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/readyz", timeout=5):
                return
        except urllib.error.HTTPError as exc:
            why = exc.read().decode(errors="replace").strip()
        except OSError as exc:
            why = str(exc)
        time.sleep(_POLL_S)
    raise inspector.failure(f"is not ready after {timeout_s:.0f} s ({why})")
