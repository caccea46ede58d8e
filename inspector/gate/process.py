"""The gate's process: connects the bus and the line's ports with one `Gate`, and runs its timer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from inspector.errors import AccessError, BusError, ConfigError, TopicError
from inspector.gate.decide import Decision, Fault, Gate, Refused, Rules, State
from inspector.gate.intake import Intake
from inspector.gate.reader import CHECK_S, KafkaReader, ResultReader
from inspector.loop.clock import Clock, SystemClock
from inspector.loop.pump import Pump
from inspector.observe.systemd import ServiceManager
from inspector.settings.settings import Settings

log = logging.getLogger(__name__)

POLL_S = 0.2
RETRY_S = 1.0
COUNTER_END = 1 << 16
"""The counter of the gate's own heartbeat begins again here: it fits a register of Modbus."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the line is told of the gate.

    Attributes:
        state: Only `running` passes parts.
        fault: Why it is at fault.
        detail: The same as a sentence.
        alive: Counts up, from 0 again behind 65,535, a few times a second while the gate runs, and stands still otherwise.
    """

    state: State
    fault: Fault
    detail: str
    alive: int


class Desk(Protocol):
    """What a port may ask of the gate. Event loop only."""

    def announce(
        self, part_id: str, window_ms: int | None, source: Hashable
    ) -> Refused | Literal["window_too_long"] | None:
        """Expect a part; returns why it is not taken. None for `window_ms`: what the settings say."""
        ...

    def reset(self) -> str | None:
        """End a fault; returns why not, as a sentence."""
        ...

    def lost(self, source: Hashable) -> None:
        """Reject what this source has announced: it hears nothing any more."""
        ...

    @property
    def status(self) -> Status:
        """How the gate is."""
        ...


class Port(Protocol):
    """A way to reach the line. Event loop only; none of these methods may block."""

    async def start(self, desk: Desk) -> None:
        """Listen.

        Raises:
            ConfigError: The address cannot be listened at.
        """
        ...

    def decided(self, decision: Decision) -> None:
        """Tell the line the decision about a part."""
        ...

    def changed(self, status: Status) -> None:
        """Tell the line of another state, or another count of `alive`."""
        ...

    async def stop(self) -> None:
        """Hang up."""
        ...


class Watcher(Protocol):
    """Is shown what happens, for people and archives."""

    def decided(self, decision: Decision) -> None: ...  # noqa: D102 as for a port
    def changed(self, status: Status) -> None: ...  # noqa: D102


def required_cameras(settings: Settings) -> frozenset[str]:
    """Return the ids of the cameras that must all say ok.

    Raises:
        ConfigError: No line is named, or no camera of it.
    """
    gate = settings.gate
    if gate.line_id is None:
        raise ConfigError("gate.line_id is not set; give the line that this gate serves")
    cameras = gate.cameras or tuple(c.camera_id for c in settings.cameras if c.line_id == gate.line_id)
    if not cameras:
        raise ConfigError(
            f"no camera of line {gate.line_id} is known; name them in gate.cameras, or list the [[cameras]] of the line"
        )
    return frozenset(cameras)


def rules_of(settings: Settings) -> Rules:
    """Return the rules that the settings make.

    Raises:
        ConfigError: No line is named, or no camera of it.
    """
    gate = settings.gate
    timeout_ms = gate.heartbeat_timeout_ms
    return Rules(
        cameras=required_cameras(settings),
        lead_s=gate.lead_ms / 1000,
        fault_after=gate.fault_after,
        max_parts=gate.max_parts,
        keep_s=gate.keep_s,
        max_age_s=gate.max_age_ms / 1000,
        skew_s=gate.max_clock_skew_ms / 1000,
        heartbeat_s=None if timeout_ms is None else timeout_ms / 1000,
        window_s=None if gate.announced else gate.window_ms / 1000,
    )


def topics_of(settings: Settings) -> list[str]:
    """Return the topics that the gate reads: the results of its cameras, those of nobody's, and heartbeats if it wants them.

    Raises:
        ConfigError: No line is named, or no camera of it.
    """
    topics, line_id = settings.topics, settings.gate.line_id or ""
    names = {topics.results_topic(line_id, camera) for camera in required_cameras(settings)}
    names.add(topics.stray_results_topic)
    if settings.gate.heartbeat_timeout_ms is not None:
        names.add(topics.heartbeats_topic)
    return sorted(names)


class GateProcess:
    """One gate for one line. Event loop only."""

    def __init__(
        self,
        settings: Settings,
        ports: Sequence[Port],
        *,
        reader: ResultReader | None = None,
        clock: Clock | None = None,
        watchers: Sequence[Watcher] = (),
        make_gate: Callable[..., Gate] = Gate,
    ) -> None:
        """Prepare; nothing connects before `run`. Tests replace what touches the outside world.

        Raises:
            ConfigError: No line is named, or no camera of it.
        """
        gate = settings.gate
        self._settings = gate
        self._clock = SystemClock() if clock is None else clock
        self._reader = KafkaReader(settings.kafka, topics_of(settings)) if reader is None else reader
        self._ports = ports
        self._watchers = watchers
        self.gate = make_gate(rules_of(settings), now_us=self._clock.wall_us())
        self.intake = Intake(
            gate=self.gate,
            line_id=gate.line_id or "",
            heartbeats_topic=settings.topics.heartbeats_topic,
            skew_us=gate.max_clock_skew_ms * 1000,
            takes_simulated=gate.accept_simulated,
            clock=self._clock,
        )
        self._alive = 0
        self._told: tuple[State, Fault] | None = None
        self._crashed: asyncio.Future[None] | None = None
        self._pump = Pump(self._advance, self._crash)
        self._manager = ServiceManager()

    # what ports ask

    @property
    def status(self) -> Status:
        """How the gate is."""
        return Status(self.gate.state, self.gate.fault, self.gate.fault_detail, self._alive)

    def announce(
        self, part_id: str, window_ms: int | None, source: Hashable
    ) -> Refused | Literal["window_too_long"] | None:
        """Expect a part; returns why it is not taken."""
        window_ms = self._settings.window_ms if window_ms is None else window_ms
        if window_ms > self._settings.max_window_ms:
            return "window_too_long"
        self._pump.soon()
        return self.gate.announce(
            part_id, window_ms / 1000, source=source, now_s=self._clock.monotonic_s(), now_us=self._clock.wall_us()
        )

    def reset(self) -> str | None:
        """End a fault; returns why not, as a sentence."""
        refused = self.gate.reset(now_s=self._clock.monotonic_s(), now_us=self._clock.wall_us())
        self._pump.soon()
        return refused

    def lost(self, source: Hashable) -> None:
        """Reject what this source has announced."""
        self.gate.lost(source)

    # what happens by itself

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set.

        Raises:
            ConfigError: A port cannot be listened at.
            AccessError: The brokers refuse this client; an operator must act.
        """
        self._crashed = asyncio.get_running_loop().create_future()
        tasks: list[asyncio.Future[None]] = []
        try:
            for port in self._ports:
                await port.start(self)
            self._advance()
            self._manager.ready()  # a gate at fault does its work, too: it rejects
            work = (self._read_forever(), self._beat_forever(), _until(stop))
            tasks = [asyncio.ensure_future(coroutine) for coroutine in work]
            done, _ = await asyncio.wait({*tasks, self._crashed}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._manager.stopping()
            # The line sees at once that nobody decides any more.
            for port in self._ports:
                await port.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._pump.after(None)
            await self._reader.stop()

    async def _read_forever(self) -> None:
        told = ""
        while True:
            try:
                await self._reader.start()
                told = ""
                self.gate.can_read(now_s=self._clock.monotonic_s(), now_us=self._clock.wall_us())
                self._pump.soon()
                await self._read()
            except AccessError:
                raise
            except (BusError, TopicError) as exc:
                if told != str(exc):  # once, not every second
                    log.warning("results cannot be read: %s", exc)
                told = str(exc)
                self.gate.cannot_read(str(exc))
                self._pump.soon()
            await self._reader.stop()
            await asyncio.sleep(RETRY_S)

    async def _read(self) -> None:
        checking = asyncio.ensure_future(self._check_forever())
        try:
            while not checking.done():
                records = await self._reader.read(POLL_S)
                self.intake.take(records)
                if records:
                    self._pump.soon()
            checking.result()
        finally:
            checking.cancel()
            await asyncio.gather(checking, return_exceptions=True)

    async def _check_forever(self) -> None:
        while True:
            await asyncio.sleep(CHECK_S)
            trouble = await self._reader.check()
            if trouble is not None:
                raise BusError(trouble)

    async def _beat_forever(self) -> None:
        """Count up while the gate runs: what the line sees stand still is a gate that is at fault, hangs or has gone."""
        while True:
            await asyncio.sleep(self._settings.alive_ms / 1000)
            self._advance()
            self._manager.alive()
            self._manager.status(f"{self.gate.state}: {self.gate.fault_detail}".removesuffix(": "))
            if self.gate.state == "running":
                self._alive = (self._alive + 1) % COUNTER_END
                for port in self._ports:
                    port.changed(self.status)

    def _advance(self) -> None:
        """Make the decisions that are due, tell them and any change of state, and come again when the next is due."""
        self.gate.check_clock(now_us=self._clock.wall_us())
        decisions = self.gate.decisions(now_s=self._clock.monotonic_s())
        for decision in decisions:
            for port in self._ports:
                port.decided(decision)
        is_changed = (self.gate.state, self.gate.fault) != self._told
        self._told = (self.gate.state, self.gate.fault)
        if is_changed:
            for port in self._ports:
                port.changed(self.status)
        for watcher in self._watchers:  # the line has been told first
            for decision in decisions:
                watcher.decided(decision)
            if is_changed:
                watcher.changed(self.status)
        due_s = self.gate.due_s()
        self._pump.after(None if due_s is None else max(0.0, due_s - self._clock.monotonic_s()))

    def _crash(self, exc: BaseException) -> None:
        if self._crashed is not None and not self._crashed.done():
            self._crashed.set_exception(exc)


async def _until(stop: asyncio.Event) -> None:
    await stop.wait()
