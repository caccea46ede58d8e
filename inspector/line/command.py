"""Turns the options of `inspector line-simulator` into a running line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from inspector.clients.replay import find_images
from inspector.errors import ConfigError
from inspector.gate.process import required_cameras
from inspector.line.cameras import Cameras, FolderCameras, RealCameras
from inspector.line.plc import Link, ModbusLink, TcpLink
from inspector.line.simulate import Happened, Line, LinePlan
from inspector.line.verdicts import Verdicts, reading
from inspector.settings.commands import LineSimulatorOptions
from inspector.settings.settings import Settings

_NUMBERS = 2**31


def line_plan(settings: Settings, options: LineSimulatorOptions) -> LinePlan:
    """Return what the options ask for.

    Raises:
        ConfigError: The folder of pictures does not exist, or the gate would not count simulated pictures.
    """
    files: tuple[Path, ...] = ()
    if options.pictures is not None:
        if not settings.gate.accept_simulated:
            raise ConfigError(
                "the pictures of --pictures are simulated, and gate.accept_simulated is false, so no part would pass; "
                "set it for the trial"
            )
        files = tuple(find_images(options.pictures, max_bytes=settings.limits.max_frame_bytes))
    # Numbers that no run of the last years has used, and that rise faster than any line makes parts.
    by_clock = time.time_ns() // 10_000_000 % _NUMBERS
    return LinePlan(
        parts=options.parts,
        interval_s=options.interval_ms / 1000,
        window_ms=options.window_ms or settings.gate.window_ms,
        first_number=by_clock if options.first_number is None else options.first_number,
        part_id=settings.gate.modbus_part_id,
        reset_after_s=options.reset_after_s,
        files=files,
    )


def make_link(settings: Settings, over: str) -> Link:
    """Return an unopened connection to the gate of the settings.

    Raises:
        ConfigError: It has no such port.
    """
    gate = settings.gate
    port = gate.tcp_port if over == "tcp" else gate.modbus_port
    if port is None:
        raise ConfigError(f"gate.{over}_port is not set; set it, or use --over with the other protocol")
    return (TcpLink if over == "tcp" else ModbusLink)(gate.host, port, gate.modbus_part_id)


async def simulate_line(
    settings: Settings, options: LineSimulatorOptions, show: Callable[[Happened], None], stop: asyncio.Event
) -> tuple[Line, list[str]]:
    """Run a line; return it, and the parts that passed without a verdict of every camera.

    Raises:
        ConfigError: The settings name no line, no camera of it or no port; or there are no pictures.
        BusError: The broker cannot be reached.
        TopicError: A topic of results is missing.
    """
    cameras = required_cameras(settings)
    plan = line_plan(settings, options)
    line_id = settings.gate.line_id or ""
    shooting: Cameras = FolderCameras(settings, line_id, sorted(cameras), plan.files) if plan.files else RealCameras()
    line = Line(plan, make_link(settings, options.over), shooting, show=show)
    verdicts = Verdicts(line_id, cameras)
    async with reading(settings, verdicts):
        await line.run(stop)
    return line, verdicts.without(line.belt.passed)
