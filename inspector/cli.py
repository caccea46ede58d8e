"""The commands of `inspector`. Each imports what it needs when it runs: `results` starts without torch.

Exit status: 0 done; 1 something failed, or is not as it should be; 2 the command or its settings are wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from inspector.errors import ConfigError, InspectorError, MissingExtraError

if TYPE_CHECKING:
    from inspector.clients.replay import ReplayPlan
    from inspector.settings.settings import Settings

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]  # noqa: SLF001 its only name

T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2

_EXTRA_OF = dict.fromkeys(("aiokafka", "pydantic_settings", "rich"), "client") | dict.fromkeys(
    ("cv2", "numpy", "prometheus_client", "pycocotools", "safetensors", "structlog", "torch"), "inspector"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors become a sentence on standard error."""
    try:
        arguments = _parser().parse_args(argv)
        status: int = arguments.handler(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # `inspector results | head`: whoever read has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (InspectorError, ModuleNotFoundError) as exc:
        error = _missing_extra(exc) if isinstance(exc, ModuleNotFoundError) else exc
        if error is None:
            raise
        for line in str(error).splitlines():
            print(f"inspector: {line}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError | MissingExtraError) else EXIT_FAILED
    return status


def _missing_extra(exc: ModuleNotFoundError) -> MissingExtraError | None:
    """Name the extra that brings the module; None where none does, which is a fault of ours."""
    module = (exc.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(module)
    return None if extra is None else MissingExtraError(module, extra)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="inspector", description="Visual inspection of a factory line over Kafka.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_run(commands)
    _add_config(commands)
    _add_replay(commands)
    _add_results(commands)
    _add_topics(commands)
    return parser


def _add(
    commands: Commands, name: str, handler: Callable[[argparse.Namespace], int], text: str
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
    command.set_defaults(handler=handler)
    return command


def _add_run(commands: Commands) -> None:
    from pydantic_settings import CliSettingsSource

    from inspector.settings.settings import Settings

    run = _add(commands, "run", _run, "Read frames, judge them, publish results, until SIGTERM or SIGINT.")
    run.add_argument(
        "--config", type=Path, metavar="FILE", help="settings (TOML); `inspector config --example` prints one"
    )
    # Every setting is an option too.
    run.set_defaults(source=CliSettingsSource[Any](Settings, root_parser=run, cli_parse_args=False))


def _add_config(commands: Commands) -> None:
    config = _add(commands, "config", _config, "Print a commented settings file, or check one.")
    what = config.add_mutually_exclusive_group(required=True)
    what.add_argument("--example", action="store_true", help="print a valid file with every setting and its default")
    what.add_argument("--check", type=Path, metavar="FILE", help="say what is wrong with this file and the environment")


def _add_replay(commands: Commands) -> None:
    replay = _add(commands, "replay", _replay, "Be a camera: publish the JPEG and PNG files of a folder as frames.")
    replay.add_argument("folder", type=Path, metavar="DIR", help="image files, also in folders below")
    replay.add_argument(
        "--camera", required=True, metavar="LINE/CAMERA", help="the camera to be; or its id alone, with --line"
    )
    replay.add_argument("--line", metavar="LINE", help="the camera's line, where --camera is its id alone")
    replay.add_argument(
        "--rate", type=float, required=True, metavar="FPS", help="frames a second; 0: as fast as they are taken"
    )
    replay.add_argument("--count", type=int, metavar="N", help="frames to send in all (default: each file once)")
    replay.add_argument(
        "--cycle", action="store_true", help="begin again after the last file, without end unless --count says"
    )
    replay.add_argument(
        "--budget-ms", type=int, metavar="MS", help="verdict due so long after capture (default: the inspector's)"
    )
    replay.add_argument("--first-seq", type=int, default=0, metavar="N", help="number of the first frame (default: 0)")
    replay.add_argument(
        "--json", action="store_true", help="one JSON object for each acknowledged frame, and a summary"
    )
    _add_client_options(replay)


def _add_results(commands: Commands) -> None:
    results = _add(commands, "results", _results, "Print verdicts: those that are there, or those to come.")
    results.add_argument("--follow", action="store_true", help="print what comes from now on, until interrupted")
    results.add_argument("--from-beginning", action="store_true", help="with --follow: begin with what is there")
    results.add_argument("--count", type=int, metavar="N", help="end after so many")
    results.add_argument("--camera", metavar="LINE/CAMERA", help="of this camera only")
    results.add_argument("--json", action="store_true", help="one JSON object a line")
    _add_client_options(results)


def _add_topics(commands: Commands) -> None:
    topics = _add(
        commands, "topics", _topics, "Create the topics that are missing; say where others differ. Changes none."
    )
    topics.add_argument("action", choices=["apply"])
    topics.add_argument("--replication", type=int, default=3, metavar="N", help="copies of each partition (default: 3)")
    topics.add_argument(
        "--min-insync",
        type=int,
        metavar="N",
        help="copies that must have a record before it counts (default: one less)",
    )
    _add_client_options(topics)


def _add_client_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--config", type=Path, metavar="FILE", help="settings (TOML), the inspector's own file")
    command.add_argument("--bootstrap", metavar="HOST:PORT", help="instead of kafka.bootstrap_servers")


def _client_settings(arguments: argparse.Namespace) -> Settings:
    from inspector.settings.file import load_settings

    kafka = {} if arguments.bootstrap is None else {"bootstrap_servers": arguments.bootstrap}
    return load_settings(arguments.config, overrides={"kafka": kafka})


def _run(arguments: argparse.Namespace) -> int:
    from inspector.settings.file import load_settings

    settings = load_settings(arguments.config, overrides=arguments.source(parsed_args=arguments)())
    if not settings.cameras:
        raise ConfigError(
            "no [[cameras]] are set, so every frame would be refused; `inspector config --example` shows them"
        )
    from inspector.observe.logs import configure_logging
    from inspector.service import run

    configure_logging(settings.log_level, as_json=settings.log_json)
    return run(settings)


def _config(arguments: argparse.Namespace) -> int:
    if arguments.example:
        from inspector.settings.example import example_toml

        print(example_toml(), end="")
        return 0
    from inspector.settings.file import load_settings, missing_bundles

    settings = load_settings(arguments.check)
    faults = missing_bundles(settings)
    if faults:
        raise ConfigError("\n".join(f"{arguments.check}: {fault}" for fault in faults))
    print(f"{arguments.check}: {len(settings.cameras)} cameras, {len(settings.models)} models, all well")
    return 0


def _replay(arguments: argparse.Namespace) -> int:
    from inspector.clients.replay import find_images, replay
    from inspector.clients.terminal import ReplayDisplay, summary_json, summary_line

    settings = _client_settings(arguments)
    plan = _replay_plan(arguments, find_images(arguments.folder, max_bytes=settings.limits.max_frame_bytes))
    with ReplayDisplay(plan.count, as_json=arguments.json) as display:
        summary = _until_interrupted(lambda stop: replay(settings, plan, on_sent=display.on_sent, stop=stop))
    print(summary_json(summary) if arguments.json else summary_line(summary))
    return EXIT_FAILED if summary.failed else 0


def _replay_plan(arguments: argparse.Namespace, files: Sequence[Path]) -> ReplayPlan:
    from inspector.clients.replay import ReplayPlan

    for name, least in (("rate", 0), ("count", 1), ("budget_ms", 1), ("first_seq", 0)):
        value = getattr(arguments, name)
        if value is not None and not least <= value < float("inf"):
            raise ConfigError(f"--{name.replace('_', '-')} must be at least {least}, not {value}")
    line_id, camera_id = camera_ids(arguments.camera, arguments.line)
    count = arguments.count
    if not arguments.cycle:
        count = min(count or len(files), len(files))
    budget_us = None if arguments.budget_ms is None else arguments.budget_ms * 1000
    return ReplayPlan(
        files, arguments.folder, line_id, camera_id, arguments.rate, count, budget_us, first_seq=arguments.first_seq
    )


def camera_ids(camera: str, line: str | None = None) -> tuple[str, str]:
    """Return line and camera of `LINE/CAMERA`, or of a camera's id and `--line`.

    Raises:
        ConfigError: Not two ids.
    """
    name = camera if line is None else f"{line}/{camera}"
    found = re.fullmatch(r"([A-Za-z0-9_-]{1,64})/([A-Za-z0-9_-]{1,64})", name)
    if found is None:
        raise ConfigError(
            f"{name!r} is no camera: give --camera LINE/CAMERA, or --line LINE --camera CAMERA; letters, digits, _ and -"
        )
    return found[1], found[2]


def _results(arguments: argparse.Namespace) -> int:
    settings = _client_settings(arguments)
    wanted = None if arguments.camera is None else camera_ids(arguments.camera)
    _until_interrupted(lambda stop: _print_results(settings, arguments, wanted, stop))
    return 0


async def _print_results(
    settings: Settings, arguments: argparse.Namespace, wanted: tuple[str, str] | None, stop: asyncio.Event
) -> None:
    from inspector.clients.results import read_results
    from inspector.clients.terminal import VerdictDisplay

    display = VerdictDisplay(as_json=arguments.json)
    from_beginning = arguments.from_beginning or not arguments.follow
    async with contextlib.aclosing(
        read_results(settings, follow=arguments.follow, from_beginning=from_beginning, stop=stop)
    ) as verdicts:
        async for verdict in verdicts:
            message = verdict.message
            if wanted is not None and (message is None or (message.line_id, message.camera_id) != wanted):
                continue
            display.show(verdict)
            if display.count == arguments.count:
                return


def _topics(arguments: argparse.Namespace) -> int:
    from inspector.clients.terminal import topic_lines
    from inspector.clients.topics import apply_topics

    settings = _client_settings(arguments)
    copies, insync = arguments.replication, arguments.min_insync
    if copies < 1 or (insync is not None and not 1 <= insync <= copies):
        raise ConfigError("--replication must be at least 1, and --min-insync between 1 and --replication")
    reports = asyncio.run(apply_topics(settings, replication=copies, min_insync=insync))
    for report in reports:
        print("\n".join(topic_lines(report)))
    return EXIT_FAILED if any(report.differences for report in reports) else 0


def _until_interrupted(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run a client; SIGINT and SIGTERM ask it to come to an end, a second one ends it."""
    logging.basicConfig(format="inspector: %(message)s", level=logging.WARNING)

    async def run() -> T:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal(number: int) -> None:
            stop.set()
            loop.remove_signal_handler(number)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, on_signal, number)
        return await work(stop)

    return asyncio.run(run())
