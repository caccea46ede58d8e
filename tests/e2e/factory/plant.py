"""The processes of the factory: broker, two inspectors, archive, cameras, Prometheus; each a public command, ended by its own id."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager

from deploy.demo.children import Child, DemoError
from deploy.demo.show import wait_until_ready
from deploy.demo.stage import Stage
from deploy.local.base import LOOPBACK, Broker, BrokerStartError, free_port
from deploy.local.broker import kafka_home
from deploy.local.kafka import KafkaNode
from deploy.local.prometheus import Prometheus, find_program, running_prometheus
from tests.chaos.reading import ends_of
from tests.e2e.factory.line import CAMERAS, Camera, Places, inspector_command, replay_command, settings_toml
from tests.e2e.processes import sum_of_samples, text_at
from tests.monitoring.rules import PACE_S, write_configuration

PATIENCE_S = 90.0
"""For whatever has to come; on a machine with two cores all of it takes seconds."""

_POLL_S = 0.2


class Service:
    """A process of ours that answers HTTP on a port of its own; it may end and be started again."""

    def __init__(self, stage: Stage, name: str, command: list[str], port: int) -> None:
        """Prepare; nothing runs before `start`."""
        self._stage, self._command, self._port = stage, command, port
        self.name = name
        self._child: Child | None = None

    def start(self) -> None:
        """Start it, and wait until it is ready.

        Raises:
            DemoError: It ends, or does not become ready.
        """
        self._child = self._stage.start(self.name, self._command)
        wait_until_ready(self._child, self._port)

    @property
    def child(self) -> Child:
        """The process that runs, or ran last.

        Raises:
            DemoError: There was none.
        """
        if self._child is None:
            raise DemoError(f"{self.name} was not started")
        return self._child

    @property
    def target(self) -> str:
        """Where Prometheus finds it."""
        return f"{LOOPBACK}:{self._port}"

    @property
    def is_ready(self) -> bool:
        """Whether /readyz says so."""
        return self._get("/readyz") is not None

    def sample(self, name: str, **labels: str) -> float:
        """Return the sum of its samples of a name whose labels include these; 0 of none."""
        return sum_of_samples(self._get("/metrics") or "", name, **labels)

    def stop(self) -> int:
        """Ask it to end and return its exit status; 0 where it was not started."""
        return 0 if self._child is None else self._child.stop()

    def _get(self, path: str) -> str | None:
        return text_at(f"http://{self.target}{path}")


class Plant:
    """All processes of a run. One thread alone; `close` ends what runs, clients before the broker."""

    def __init__(self, stage: Stage, *, rate: float) -> None:
        """Prepare; nothing runs before `open`.

        Args:
            stage: screen, folders, stopwatch.
            rate: frames a second of each camera.
        """
        self.stage, self._rate = stage, rate
        self.places = Places(stage.out, (free_port(), free_port(), free_port()))
        self.prefix = f"factory-{uuid.uuid4().hex[:8]}"
        self._node: KafkaNode | None = None
        self._prometheus: Prometheus | None = None
        self._below, self._above = ExitStack(), ExitStack()
        self._replays: dict[Camera, Child] = {}
        self._next_seq = dict.fromkeys(CAMERAS, 0)
        self.ended_badly: list[str] = []
        ports = self.places.ports
        commands = [
            inspector_command("run", self.places, "--http.port", str(port), "--kafka.client_id", f"inspector-{number}")
            for number, port in enumerate(ports[:2], start=1)
        ]
        self.inspectors = [
            Service(stage, f"inspector-{number}", command, port)
            for number, (command, port) in enumerate(zip(commands, ports, strict=False), start=1)
        ]
        self.archive = Service(stage, "archive", inspector_command("archive", self.places), ports[2])

    # ------------------------------------------------------------------------------------------------------ what runs

    def open(self) -> Broker:
        """Start the broker, make the topics, start inspectors, archive and Prometheus.

        Raises:
            DemoError: One of them does not start.
        """
        home = kafka_home()
        if home is None:
            raise DemoError("there is no Apache Kafka")
        folder = self.places.out / "kafka"
        folder.mkdir()
        try:
            # The broker's clock stamps what arrives: it is the one clock of all figures.
            node = KafkaNode(home, folder, properties={"log.message.timestamp.type": "LogAppendTime"})
            self._node = node
            self._below.callback(node.stop)
            broker = node.start()
        except BrokerStartError as exc:
            raise DemoError(f"no broker: {exc}") from exc
        self.places.config.write_text(settings_toml(node.bootstrap_servers, self.prefix, self.places))
        self.run("topics", inspector_command("topics apply", self.places, "--replication", "1"))
        self.run("archive-create", inspector_command("archive", self.places, "--create"))
        for service in self.inspectors:
            service.start()
        self.until(self.is_shared_out, "the inspectors share the cameras out")
        self.archive.start()
        folder = self.places.out / "prometheus"
        folder.mkdir()
        configuration = write_configuration(folder, [inspector.target for inspector in self.inspectors])
        self._prometheus = self._above.enter_context(running_prometheus(configuration, folder))
        return broker

    @property
    def node(self) -> KafkaNode:
        """The broker.

        Raises:
            DemoError: It was not started.
        """
        if self._node is None:
            raise DemoError("the broker was not started")
        return self._node

    @property
    def prometheus(self) -> Prometheus:
        """The running Prometheus.

        Raises:
            DemoError: It was not started.
        """
        if self._prometheus is None:
            raise DemoError("Prometheus was not started")
        return self._prometheus

    def topic(self, name: str) -> str:
        """Return the full name of a topic."""
        return f"{self.prefix}.{name}"

    def count(self, name: str) -> int:
        """Return how many records a topic has taken so far."""
        return sum(asyncio.run(ends_of(self.node.bootstrap_servers, self.topic(name))).values())

    def is_shared_out(self) -> bool:
        """Whether the inspectors are ready and have a camera's partition each, at least."""
        counts = [service.sample("inspector_assigned_partitions") for service in self.inspectors]
        return sum(counts) == len(CAMERAS) and all(counts) and all(service.is_ready for service in self.inspectors)

    def close(self) -> None:
        """End everything; whoever does not end well is named in `ended_badly`."""
        for camera in list(self._replays):
            self.stop_camera(camera)
        self._above.close()
        for service in (self.archive, *self.inspectors):
            status = service.stop()
            if status != 0:
                self.ended_badly.append(f"{service.name} ended with status {status}")
        self._below.close()

    # -------------------------------------------------------------------------------------------------------- commands

    def run(self, name: str, command: list[str]) -> None:
        """Run a command that ends.

        Raises:
            DemoError: It fails.
        """
        with self.stage.start(name, command) as child:
            child.must_succeed()

    def until(self, condition: Callable[[], object], what: str, *, timeout_s: float = PATIENCE_S * PACE_S) -> float:
        """Wait until a condition holds; return how long it took, s.

        Raises:
            DemoError: It never did; names `what`.
        """
        begun = time.monotonic()
        while not condition():
            if time.monotonic() - begun > timeout_s:
                raise DemoError(f"not within {timeout_s:.0f} s: {what}; the logs are in {self.stage.logs}")
            time.sleep(_POLL_S)
        return time.monotonic() - begun

    # --------------------------------------------------------------------------------------------------------- cameras

    def start_camera(self, camera: Camera) -> None:
        """Let a camera send, from the number on at which it ended."""
        command = replay_command(camera, self.places, rate=self._rate, first_seq=self._next_seq[camera])
        self._replays[camera] = self.stage.start(f"camera-{camera.camera_id}", command, on_line=lambda *_: None)

    def stop_camera(self, camera: Camera) -> None:
        """Let a camera end what it has begun."""
        child = self._replays.pop(camera)
        if child.stop() != 0:
            self.ended_badly.append(f"the camera {camera.camera_id} ended with status {child.status}")
        # Beyond whatever it has sent: numbers need not follow one another.
        self._next_seq[camera] += 100_000

    @contextmanager
    def flowing(self, cameras: Sequence[Camera] = CAMERAS) -> Iterator[None]:
        """All cameras send for the duration of a block; afterwards each frame is waited for."""
        for camera in cameras:
            self.start_camera(camera)
        self.until_heard(cameras)
        yield
        for camera in [camera for camera in cameras if camera in self._replays]:
            self.stop_camera(camera)
        self.until(self._are_answered, "every frame has a result")

    def must_be_well(self) -> None:
        """Check that nothing has ended by itself.

        Raises:
            DemoError: Something has.
        """
        for child in (*self._replays.values(), self.archive.child, *(service.child for service in self.inspectors)):
            child.must_be_running()

    def watch(self, seconds: float) -> None:
        """Let everything run for a while.

        Raises:
            DemoError: Something has ended by itself.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.must_be_well()
            time.sleep(_POLL_S)

    def until_heard(self, cameras: Sequence[Camera] = CAMERAS) -> float:
        """Wait until each camera has one more verdict; return how long it took, s."""
        before = {camera: self._verdicts(camera) for camera in cameras}
        return self.until(
            lambda: all(self._verdicts(camera) > before[camera] for camera in cameras), "every camera is judged"
        )

    def _verdicts(self, camera: Camera) -> float:
        return sum(service.sample("inspector_frames_total", camera=camera.key) for service in self.inspectors)

    def _are_answered(self) -> bool:
        # A camera's frames may have been answered twice, so that alone would say nothing.
        lag = sum(service.sample("inspector_consumer_lag_frames") for service in self.inspectors)
        return lag == 0 and self.count("results") >= self.count("frames")


def must_be_here() -> None:
    """Check that this machine has what the factory needs, before anything is done.

    Raises:
        DemoError: Apache Kafka is missing; says what to do.
        PrometheusMissingError: Prometheus is; says what to do.
    """
    find_program("prometheus")
    try:
        home = kafka_home()
    except BrokerStartError as exc:
        raise DemoError(str(exc)) from exc
    if home is None:
        raise DemoError(
            "no Apache Kafka: the factory stops and starts a broker of its own; set KAFKA_HOME to a folder made with deploy/local/pom.xml"
        )
