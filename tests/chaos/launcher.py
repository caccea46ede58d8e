"""`python -m tests.chaos.launcher [--mutation NAME] [--die POINT:COUNT] -- run --config FILE`: the service, with a flaw or a death.

The product has no such switches: this process changes a method before it calls the service's own main. A death comes when
the point is passed for the COUNTth time after SIGUSR1, so that the worker lives until its group has settled.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import inspect
import os
import signal
import sys
from pathlib import Path
from typing import Any, NamedTuple

from tests.chaos import device

ARMED_BY = signal.SIGUSR1
COUNTED_BY = signal.SIGUSR2
PICTURE_S = "CHAOS_PICTURE_S"
"""Environment variable: how long every picture takes at the device, see `tests.chaos.pacing`."""
TASKS_FILE = "CHAOS_TASKS_FILE"
"""Environment variable: where a worker appends the number of its asyncio tasks, a line for each SIGUSR2."""


class Death:
    """Ends the process, as a power cut would, at the seeded passage of a point."""

    def __init__(self, count: int) -> None:
        """Die at the `count`th passage after the signal."""
        self._left = count
        self._armed = False
        signal.signal(ARMED_BY, self._arm)

    def _arm(self, *_: object) -> None:
        self._armed = True

    def passed(self) -> None:
        """Called at the point."""
        if self._armed:
            self._left -= 1
            if self._left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


class Point(NamedTuple):
    """A method of the service, and whether death comes before or after its body."""

    module: str
    owner: str
    method: str
    before: bool


POINTS = {
    # Frames were read, and nothing of them was begun.
    "after_fetch": Point("inspector.pipeline", "Pipeline", "read", before=True),
    # A batch was handed to the device.
    "mid_batch": Point("inspector.stages.score", "Engine", "submit", before=False),
    # Verdicts are ready, and none of them is on its way.
    "before_send": Point("inspector.bus.producer", "KafkaProducer", "send", before=True),
    # The broker has acknowledged verdicts, and nobody was told.
    "after_send": Point("inspector.bus.producer", "KafkaProducer", "send", before=False),
    # Verdicts are acknowledged, and their offsets are not committed.
    "before_commit": Point("inspector.bus.consumer", "KafkaConsumer", "commit", before=True),
    # Offsets were just committed.
    "after_commit": Point("inspector.bus.consumer", "KafkaConsumer", "commit", before=False),
}


def put(point: Point, death: Death) -> None:
    """Let every call of the point's method pass by death."""
    owner: Any = getattr(importlib.import_module(point.module), point.owner)
    method = getattr(owner, point.method)

    def plain(*arguments: Any) -> Any:
        if point.before:
            death.passed()
        done = method(*arguments)
        if not point.before:
            death.passed()
        return done

    async def awaited(*arguments: Any) -> Any:
        if point.before:
            death.passed()
        done = await method(*arguments)
        if not point.before:
            death.passed()
        return done

    setattr(owner, point.method, awaited if inspect.iscoroutinefunction(method) else plain)


def count_tasks_into(file: str) -> None:
    """Append the number of tasks whenever the signal comes; the handler runs on the loop's own thread."""

    def count(*_: object) -> None:
        with contextlib.suppress(RuntimeError), Path(file).open("a", encoding="ascii") as lines:
            lines.write(f"{len(asyncio.all_tasks())}\n")

    signal.signal(COUNTED_BY, count)


def main() -> None:
    """Change what was asked for, then be `inspector`."""
    own, service = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, service = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.launcher")
    parser.add_argument("--mutation")
    parser.add_argument("--die", metavar="POINT:COUNT")
    arguments = parser.parse_args(own)
    if arguments.mutation:
        importlib.import_module(f"tests.chaos.mutations.{arguments.mutation}").install()
    if device.NAMED_BY in os.environ:
        device.install()
    if arguments.die:
        point, _, count = arguments.die.partition(":")
        put(POINTS[point], Death(int(count)))
    if file := os.environ.get(TASKS_FILE):
        count_tasks_into(file)
    if seconds := os.environ.get(PICTURE_S):
        importlib.import_module("tests.chaos.pacing").pace_device(float(seconds))
    from inspector.__main__ import main as inspector

    sys.argv = ["inspector", *service]
    inspector()


if __name__ == "__main__":
    main()
