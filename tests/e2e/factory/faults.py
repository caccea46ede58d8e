"""The faults of the day, each provoked on purpose, waited for in Prometheus, and mended."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.demo.children import DemoError
from schemas import CameraFrame, frame_headers, image_digest
from schemas import encode as encode_message
from tests.chaos.frames import SPOILS
from tests.chaos.reading import producing
from tests.e2e.factory.book import Book, Provoked
from tests.e2e.factory.line import CAMERAS, LINE, NOISY, SILENT
from tests.e2e.factory.plant import Plant

GARBLED = 18
"""Frames, of all kinds of garbage in turn."""


class Saboteur:
    """Provokes one fault after the other, each mended before the next."""

    def __init__(self, plant: Plant, book: Book) -> None:
        """Work on a plant whose cameras send."""
        self._plant, self._book = plant, book

    def silence(self) -> None:
        """One camera sends nothing, while its line runs."""
        with self._provoked(f"camera {SILENT.camera_id} sends nothing", "CameraSilent", camera=SILENT.key) as labels:
            self._plant.stop_camera(SILENT)
            self._until_firing("CameraSilent", labels)
            self._plant.start_camera(SILENT)
        self._until_over("CameraSilent")

    def garble(self) -> None:
        """A camera's frames are cut, flipped, empty, from the future of the format, or no message at all."""
        with self._provoked(f"{GARBLED} garbled frames of {NOISY.camera_id}", "InspectorDeadLetters") as labels:
            asyncio.run(self._send_garbage())
            self._until_firing("InspectorDeadLetters", labels)

    def kill_inspector(self) -> None:
        """One of two inspectors is killed; the other takes its cameras over."""
        victim, other = self._plant.inspectors
        with self._provoked(f"kill -9 of {victim.name}", "InspectorDown", instance=victim.target) as labels:
            victim.child.kill()
            self._until_firing("InspectorDown", labels)
            self._plant.until(
                lambda: other.sample("inspector_assigned_partitions") == len(CAMERAS),
                f"{other.name} has all cameras",
            )
            victim.start()
            self._plant.until(self._plant.is_shared_out, "the inspectors share the cameras out again")
        self._until_over("InspectorDown")

    def kill_broker(self) -> None:
        """The broker is killed and comes back."""
        with self._provoked("kill -9 of the broker", "InspectorUnready") as labels:
            self._plant.node.process.kill()
            self._until_firing("InspectorUnready", labels)
            self._plant.node.start()
            self._plant.until(self._plant.is_shared_out, "the inspectors are back")
        self._until_over("InspectorUnready")
        self._plant.until_heard()

    @contextmanager
    def _provoked(self, fault: str, alert: str, **labels: str) -> Iterator[Mapping[str, str]]:
        self._until_over(alert)  # on a machine that is busy it may fire for other reasons
        self._plant.stage.say(f"{fault}: {alert} must fire")
        at_s = time.time()
        with self._book.period(fault, "fault"):
            yield labels
        self._book.provoked.append(Provoked(fault, alert, labels, at_s, time.time()))

    def _until_firing(self, alert: str, labels: Mapping[str, str]) -> None:
        """Wait for an alert; one that never comes is a promise missed, and the day goes on."""
        try:
            took_s = self._plant.until(
                lambda: any(labels.items() <= one.items() for one in self._firing(alert)), f"{alert} fires"
            )
        except DemoError as error:
            self._plant.stage.say(str(error))
        else:
            self._plant.stage.say(f"{alert} fires after {took_s:.1f} s")

    def _until_over(self, alert: str) -> None:
        self._plant.until(lambda: not self._firing(alert), f"{alert} ends once its fault is mended")

    def _firing(self, alert: str) -> list[dict[str, str]]:
        found = self._plant.prometheus.query(f'ALERTS{{alertname="{alert}",alertstate="firing"}}')
        return [series.labels for series in found]

    async def _send_garbage(self) -> None:
        picture = min(self._plant.places.belt(NOISY).iterdir()).read_bytes()
        chance = random.Random(0)
        async with producing(self._plant.node.bootstrap_servers) as producer:
            for number in range(GARBLED):
                frame = CameraFrame(
                    line_id=LINE,
                    camera_id=NOISY.camera_id,
                    part_id=f"garbled-{number}",
                    seq=10**9 + number,
                    captured_at=time.time_ns() // 1000,
                    encoding="jpeg",
                    image=picture,
                    image_digest=image_digest(picture),
                )
                spoil = SPOILS[number % len(SPOILS)]
                value, key = spoil(frame, encode_message(frame)), NOISY.key.encode()
                await producer.send_and_wait(
                    self._plant.topic("frames"),
                    value,
                    key,
                    partition=NOISY.partition,
                    headers=list(frame_headers(frame)),
                )
                await asyncio.sleep(chance.uniform(0.02, 0.1))
