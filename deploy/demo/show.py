"""The demo itself: each step a public command, from an empty folder to a report, on one screen of code."""

from __future__ import annotations

import json
import queue
import shlex
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

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
from deploy.demo.live import LiveTable
from deploy.demo.summary import Run
from deploy.local.base import LOOPBACK, Broker, BrokerStartError, free_port
from deploy.local.broker import CHECKOUT, running_broker

DEFAULT_FRAMES = 1_024
READY_TIMEOUT_S = 180.0
# How long to wait for the next verdict before those still out count as missing.
SILENCE_TIMEOUT_S = 30.0
# A burst may take longer than a camera's budget, and is to be inspected all the same.
BURST_BUDGET_MS = 300_000
# What the replay asks of what the machine showed in the burst: room for the noise of a desk computer.
LOAD = 0.6
MAX_FPS = 30.0
_POLL_S = 0.1
_FRAMES_A_SECOND = 4


@dataclass
class Show:
    """One run of the demo. `play` does everything; the other methods are its steps."""

    out: Path
    console: Console
    frames: int = DEFAULT_FRAMES
    cameras: Sequence[DemoCamera] = CAMERAS
    seconds: dict[str, float] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    # Lines of the clients, from their threads to the one that keeps the account.
    _lines: queue.SimpleQueue[Callable[[Account], None]] = field(default_factory=queue.SimpleQueue)
    _table: LiveTable | None = None

    def play(self) -> Run:
        """Run all steps; what was started is ended in any case, clients before the inspector before the broker.

        Raises:
            DemoError: A step failed.
        """
        for folder in (self._logs, self._bundles, self.out / "broker"):
            folder.mkdir(parents=True)
        models = {camera.camera_id: self._learn(camera) for camera in self.cameras}
        with ExitStack() as stack:
            with self._step("start"):
                broker = stack.enter_context(self._broker())
                inspector, reader = self._start(stack, broker)
            calibration = self._burst(inspector, reader)
            account = self._replay(inspector, reader, calibration.throughput_fps)
            self._stop(inspector, reader)
        scores = {image: score for camera in self.cameras for image, score in self._draw(camera).items()}
        return Run(
            broker=broker,
            cameras=self.cameras,
            account=account,
            calibration=calibration,
            models=models,
            seconds=self.seconds,
            offline_scores=scores,
            faults=self.faults,
            commands=self.commands,
        )

    @property
    def pictures(self) -> Path:
        """Where `trainer apply` puts its pictures: a folder for each camera."""
        return self.out / "pictures"

    @property
    def _logs(self) -> Path:
        return self.out / "logs"

    @property
    def _bundles(self) -> Path:
        return self.out / "models"

    @property
    def _config(self) -> Path:
        return self.out / "inspector.toml"

    # ------------------------------------------------------------------------------------------------------- steps

    def _learn(self, camera: DemoCamera) -> dict[str, Any]:
        """Fit a model on the camera's ok images."""
        self._heading(f"Learn what an ok part looks like: {camera.title}")
        with self._step(f"fit {camera.camera_id}"):
            command = fit_command(camera, self._bundles / camera.model)
            outcome = self._output_of(f"fit-{camera.camera_id}", command)
        recall = outcome["recall"] or 0.0
        self._say(
            f"learnt from {outcome['n_train']} ok images in {self.seconds[f'fit {camera.camera_id}']:.0f} s; "
            f"image AUROC {outcome['image_auroc']:.4f}, finds {recall:.0%} of the defects at its threshold"
        )
        return outcome

    @contextmanager
    def _broker(self) -> Iterator[Broker]:
        self._heading("Start a broker")
        with ExitStack() as stack:
            try:
                broker = stack.enter_context(running_broker(self.out / "broker", embedded=True))
            except BrokerStartError as exc:
                raise DemoError(f"no broker: {exc}") from exc
            self._say(f"{broker.name} on {broker.bootstrap_servers}")
            if not broker.supports_idempotence:
                self._say("it keeps no account of producers, so kafka.idempotent is off; with Apache Kafka it is on")
            yield broker

    def _start(self, stack: ExitStack, broker: Broker) -> tuple[Child, Child]:
        """Create the topics, start the inspector and wait until it is ready; return it and the reader of results."""
        self._heading("Start the inspector")
        # Names of this run alone: the broker may be somebody's own.
        prefix = f"demo-{uuid.uuid4().hex[:8]}"
        port = free_port()
        config = settings_toml(broker, prefix=prefix, http_port=port, bundles=self._bundles, cameras=self.cameras)
        self._config.write_text(config)
        command = topics_command(self._config)
        with self._child("topics", command) as topics:
            topics.must_succeed()
        begun = time.monotonic()
        inspector = stack.enter_context(self._child("inspector", run_command(self._config)))
        _wait_until_ready(inspector, port)
        self._say(f"ready after {time.monotonic() - begun:.1f} s; metrics on http://{LOOPBACK}:{port}/metrics")
        reader = stack.enter_context(self._child("results", results_command(self._config), on_line=self._on_result))
        return inspector, reader

    def _burst(self, inspector: Child, reader: Child) -> Account:
        """Send each image once, as fast as the broker takes them, to see what this machine can do."""
        self._heading("Calibrate: every test image once, as fast as they go")
        counts = {camera: len(camera.test_images()) for camera in self.cameras}
        commands = {
            camera: replay_command(camera, self._config, rate=0, count=count, budget_ms=BURST_BUDGET_MS)
            for camera, count in counts.items()
        }
        with self._step("calibrate"):
            account = self._play_cameras(commands, Account(c.camera_id for c in self.cameras), [inspector, reader])
        self._say(
            f"{account.num_sent} frames in {self.seconds['calibrate']:.0f} s: {account.throughput_fps:.1f} frames/s"
        )
        if account.num_missing:
            raise inspector.failure(f"left {account.num_missing} of {account.num_sent} frames without a verdict")
        return account

    def _replay(self, inspector: Child, reader: Child, capacity_fps: float) -> Account:
        """Be the cameras at a steady rate that this machine keeps up with."""
        fps = min(MAX_FPS, LOAD * capacity_fps)
        counts = frame_counts({camera: len(camera.test_images()) for camera in self.cameras}, self.frames)
        total = sum(counts.values())
        self._heading(f"Inspect: {total} frames of {len(self.cameras)} cameras, {fps:.1f} frames/s")
        commands = {
            camera: replay_command(
                # All cameras end together.
                camera, self._config, rate=fps * count / total, count=count, first_seq=len(camera.test_images())
            )
            for camera, count in counts.items()
        }  # fmt: skip
        account = Account(c.camera_id for c in self.cameras)
        self._table = LiveTable(self.cameras, account, total)
        with self._step("replay"):
            self._play_cameras(commands, account, [inspector, reader], show=self._table)
        return account

    def _stop(self, inspector: Child, reader: Child) -> None:
        """End the clients and the inspector, which has to drain and leave with status 0."""
        for child in (reader, inspector):
            status = child.stop()
            if status != 0:
                self.faults.append(f"{child.name} ended with status {status} when it was asked to stop")

    def _draw(self, camera: DemoCamera) -> dict[Path, float]:
        """Score and draw the test images without a broker; return the scores by image."""
        if camera is self.cameras[0]:
            self._heading("Draw the report")
        with self._step(f"draw {camera.camera_id}"):
            target = self.pictures / camera.camera_id
            command = apply_command(camera, self._bundles / camera.model, target)
            outcome = self._output_of(f"draw-{camera.camera_id}", command)
        return {
            Path(image["image"]): image["anomaly_score"]
            for image in outcome["images"]
            if image["anomaly_score"] is not None
        }

    # -------------------------------------------------------------------------------------------------- the cameras

    def _play_cameras(
        self,
        commands: Mapping[DemoCamera, list[str]],
        account: Account,
        others: Sequence[Child],
        *,
        show: LiveTable | None = None,
    ) -> Account:
        """Run the cameras until each frame has its verdict, or until none has come for a while."""
        begun = time.monotonic()
        with ExitStack() as stack:
            verb = "calibrate" if show is None else "replay"
            cameras = [stack.enter_context(self._camera(camera, command, verb)) for camera, command in commands.items()]
            live = stack.enter_context(Live(console=self.console, auto_refresh=False)) if show is not None else None
            progress = _Progress(begun)
            while True:
                self._keep_account(account)
                now = time.monotonic()
                if live is not None and show is not None:
                    self._refresh(live, show, now - begun, progress)
                is_sent = all(camera.is_done for camera in cameras)
                if is_sent and self._lines.empty() and (account.num_missing == 0 or progress.is_silent(account, now)):
                    break
                for child in others:
                    child.must_be_running()
                for camera in cameras:
                    camera.must_not_have_failed()
                time.sleep(_POLL_S)
            for camera in cameras:
                camera.must_succeed()
            self._keep_account(account)
            if live is not None and show is not None:
                live.update(show.render(time.monotonic() - begun), refresh=True)
        return account

    def _camera(self, camera: DemoCamera, command: list[str], verb: str) -> Child:
        def on_line(line: str, read_at: int) -> None:
            del read_at
            self._lines.put(lambda account: account.take_replay_line(camera.camera_id, line))

        return self._child(f"{verb}-{camera.camera_id}", command, on_line=on_line)

    def _on_result(self, line: str, read_at: int) -> None:
        def enter(account: Account) -> None:
            received = account.take_result_line(line, read_at)
            if received is not None and self._table is not None:
                self._table.note(received)

        self._lines.put(enter)

    def _keep_account(self, account: Account) -> None:
        while not self._lines.empty():
            self._lines.get()(account)

    def _refresh(self, live: Live, table: LiveTable, elapsed_s: float, progress: _Progress) -> None:
        if self.console.is_terminal:
            if progress.is_due(1 / _FRAMES_A_SECOND):
                live.update(table.render(elapsed_s), refresh=True)
        elif line := table.line(elapsed_s):
            self._say(line)

    # ------------------------------------------------------------------------------------------------------ saying it

    def _heading(self, text: str) -> None:
        self.console.print()
        self.console.print(f"[bold blue]●[/] [bold]{text}[/]", highlight=False)

    def _say(self, text: str) -> None:
        self.console.print(f"  {text}", highlight=False, markup=False)

    def _child(self, name: str, command: list[str], **options: Any) -> Child:
        readable = _readable(command)
        self.commands.append(readable)
        self.console.print(f"  $ {readable}", style="dim", highlight=False, markup=False, soft_wrap=True)
        return Child(name, command, self._logs, **options)

    def _output_of(self, name: str, command: list[str]) -> dict[str, Any]:
        """Run a command that prints one JSON object, and return it."""
        lines: list[str] = []
        is_seen = self.console.is_terminal
        with self._child(name, command, on_line=lambda line, _: lines.append(line), show_progress=is_seen) as child:
            child.must_succeed()
        try:
            output = json.loads(lines[-1])
        except (IndexError, json.JSONDecodeError) as exc:
            raise child.failure("printed no JSON") from exc
        if not isinstance(output, dict):
            raise child.failure("printed no JSON object")
        return output

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.seconds[name] = time.monotonic() - begun


class _Progress:
    """When something last happened."""

    def __init__(self, now: float) -> None:
        self._drawn_at = 0.0
        self._changed_at = now
        self._num_missing = -1

    def is_due(self, interval_s: float) -> bool:
        """Whether to draw again; counts as drawn then."""
        now = time.monotonic()
        if now - self._drawn_at < interval_s:
            return False
        self._drawn_at = now
        return True

    def is_silent(self, account: Account, now: float) -> bool:
        """Whether no verdict that is still out has come for too long."""
        if account.num_missing != self._num_missing:
            self._num_missing, self._changed_at = account.num_missing, now
        return now - self._changed_at > SILENCE_TIMEOUT_S


def frame_counts(images: Mapping[DemoCamera, int], frames: int) -> dict[DemoCamera, int]:
    """Return how many frames each camera sends: whole cycles, the same number for all, `frames` together at least."""
    cycles = max(1, -(-frames // sum(images.values())))
    return {camera: cycles * count for camera, count in images.items()}


def _wait_until_ready(inspector: Child, port: int) -> None:
    """Return once the inspector says that frames may flow.

    Raises:
        DemoError: It ended, or is not ready in time.
    """
    give_up = time.monotonic() + READY_TIMEOUT_S
    why = "it does not answer"
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
    raise inspector.failure(f"is not ready after {READY_TIMEOUT_S:.0f} s ({why})")


def _readable(command: Sequence[str]) -> str:
    """The command as it would be typed in the checkout."""
    return shlex.join(_relative(part) for part in command)


def _relative(part: str) -> str:
    path = Path(part)
    return str(path.relative_to(CHECKOUT)) if path.is_absolute() and path.is_relative_to(CHECKOUT) else part
