"""The commands of `inspector`. Each imports what it needs when it runs: `results` starts without torch.

Exit status: 0 done; 1 something failed, or is not as it should be; 2 the command or its settings are wrong.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

from inspector.errors import ConfigError, InspectorError, MissingExtraError

if TYPE_CHECKING:
    import asyncio

    from pydantic import BaseModel

    from inspector.clients.replay import ReplayPlan
    from inspector.commandline.command import Given
    from inspector.settings.commands import ClientOptions, ReplayOptions, ResultsOptions, TopicsOptions
    from inspector.settings.settings import Settings

T = TypeVar("T")
O = TypeVar("O", bound="BaseModel")  # noqa: E741 - options

EXIT_FAILED = 1
EXIT_USAGE = 2

_EXTRA_OF = (
    dict.fromkeys(("aiokafka", "pydantic_settings", "rich"), "client")
    | dict.fromkeys(
        ("cryptography", "cv2", "numpy", "prometheus_client", "pycocotools", "safetensors", "structlog", "torch"),
        "inspector",
    )
    | {"pymodbus": "gate", "pyarrow": "archive", "opentelemetry": "otel"}
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status; errors become a sentence on standard error."""
    try:
        given = parse_arguments(sys.argv[1:] if argv is None else argv)
        return _HANDLERS[given.command](given)
    except (InspectorError, ModuleNotFoundError) as exc:
        error = _missing_extra(exc) if isinstance(exc, ModuleNotFoundError) else exc
        if error is None:
            raise
        for line in str(error).splitlines():
            print(f"inspector: {line}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, ConfigError | MissingExtraError) else EXIT_FAILED


def _missing_extra(exc: ModuleNotFoundError) -> MissingExtraError | None:
    """Name the extra that brings the module; None where none does, which is a fault of ours."""
    module = (exc.name or "").partition(".")[0]
    extra = _EXTRA_OF.get(module)
    return None if extra is None else MissingExtraError(module, extra)


def parse_arguments(arguments: Sequence[str]) -> Given:
    """What was typed, without the name of the program.

    Raises:
        SystemExit: Wrong usage, or help was asked for; both are printed.
    """
    from inspector.commandline.command import Command, parse_command
    from inspector.settings import commands

    return parse_command(
        "inspector",
        "Visual inspection of a factory line over Kafka.",
        {
            "run": Command(commands.RunOptions, more=_settings_model, is_kebab=False, can_negate=True),
            "config": Command(commands.ConfigOptions),
            "replay": Command(commands.ReplayOptions),
            "results": Command(commands.ResultsOptions),
            "topics": Command(commands.TopicsOptions),
            "audit": Command(commands.AuditOptions),
            "gate": Command(commands.GateOptions),
            "archive": Command(commands.ArchiveOptions),
            "line-simulator": Command(commands.LineSimulatorOptions),
        },
        arguments,
    )


def _settings_model() -> type[BaseModel]:
    from inspector.settings.settings import Settings

    return Settings


def _checked(model: type[O], given: Given) -> O:
    from pydantic import ValidationError

    try:
        return model.model_validate(given.values)
    except ValidationError as exc:
        from schemas.refusal import refusals

        raise ConfigError("\n".join(refusals(exc, name=given.spelt, echoes_input=True))) from exc


def _client_settings(options: ClientOptions) -> Settings:
    from inspector.settings.commands import GateOptions, LineSimulatorOptions
    from inspector.settings.file import load_settings

    kafka = {} if options.bootstrap is None else {"bootstrap_servers": options.bootstrap}
    line = getattr(options, "line", None) if isinstance(options, GateOptions | LineSimulatorOptions) else None
    gate = {} if line is None else {"line_id": line}
    return load_settings(options.config, overrides={"kafka": kafka, "gate": gate})


def _run(given: Given) -> int:
    from inspector.settings.commands import RunOptions
    from inspector.settings.file import load_settings

    overrides = dict(given.values)
    options = RunOptions(config=overrides.pop("config", None))
    settings = load_settings(options.config, overrides=overrides)
    if not settings.cameras:
        raise ConfigError(
            "there are no [[cameras]], so every frame would be refused; `inspector config --example` shows how to set "
            "them"
        )
    from inspector.checks.machine import boot_faults

    if faults := boot_faults(settings):
        raise ConfigError("\n".join(faults))
    from inspector.observe.logs import configure_logging
    from inspector.observe.stderr import stderr_in_log
    from inspector.service import run

    with stderr_in_log() as stream:
        configure_logging(settings.log_level, as_json=settings.log_json, stream=stream)
        return run(settings)


def _config(given: Given) -> int:
    from inspector.settings.commands import ConfigOptions

    options = _checked(ConfigOptions, given)
    file = options.check
    if file is None:
        from inspector.settings.example import example_toml

        print(example_toml(), end="")
        return 0
    from inspector.checks.machine import bundle_faults, machine_faults
    from inspector.settings.file import load_settings

    settings = load_settings(file)
    faults = [*bundle_faults(settings), *machine_faults(settings)]
    if options.connect:
        import asyncio

        from inspector.checks.broker import broker_faults

        # aiokafka's lines say less than the sentences that follow.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        faults += asyncio.run(broker_faults(settings))
    if faults:
        raise ConfigError("\n".join(f"{file}: {fault}" for fault in faults))
    there = " and ".join(
        _counted(len(found), noun) for found, noun in ((settings.cameras, "camera"), (settings.models, "model"))
    )
    print(f"{file}: {there}, all well" + ("" if settings.cameras else "; `inspector run` needs a camera"))
    return 0


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _replay(given: Given) -> int:
    from inspector.settings.commands import ReplayOptions

    options = _checked(ReplayOptions, given)
    from inspector.clients.replay import find_images, replay
    from inspector.clients.terminal import ReplayDisplay, summary_json, summary_line

    settings = _client_settings(options)
    plan = replay_plan(options, find_images(options.folder, max_bytes=settings.limits.max_frame_bytes))
    with ReplayDisplay(plan.count, as_json=options.json_output) as display:
        summary = _until_interrupted(lambda stop: replay(settings, plan, on_sent=display.on_sent, stop=stop))
    print(summary_json(summary) if options.json_output else summary_line(summary))
    return EXIT_FAILED if summary.failed else 0


def replay_plan(options: ReplayOptions, files: Sequence[Path]) -> ReplayPlan:
    """What to send of these files: each once, unless a count or a cycle says otherwise."""
    from inspector.clients.replay import ReplayPlan

    line_id, camera_id = options.ids
    count = options.count
    if not options.cycle:
        count = min(count or len(files), len(files))
    budget_us = None if options.budget_ms is None else options.budget_ms * 1000
    return ReplayPlan(
        files, options.folder, line_id, camera_id, options.rate, count, budget_us, first_seq=options.first_seq
    )


def _results(given: Given) -> int:
    from inspector.settings.commands import ResultsOptions

    options = _checked(ResultsOptions, given)
    settings = _client_settings(options)
    _until_interrupted(lambda stop: _print_results(settings, options, stop))
    return 0


async def _print_results(settings: Settings, options: ResultsOptions, stop: asyncio.Event) -> None:
    from inspector.clients.results import read_results
    from inspector.clients.terminal import VerdictDisplay

    display = VerdictDisplay(as_json=options.json_output)
    from_beginning = options.from_beginning or not options.follow
    async with contextlib.aclosing(
        read_results(settings, follow=options.follow, from_beginning=from_beginning, stop=stop)
    ) as verdicts:
        async for verdict in verdicts:
            message = verdict.message
            if options.ids is not None and (message is None or (message.line_id, message.camera_id) != options.ids):
                continue
            display.show(verdict)
            if display.count == options.count:
                return


def _topics(given: Given) -> int:
    from inspector.settings.commands import TopicsOptions

    options = _checked(TopicsOptions, given)
    import asyncio

    settings = _client_settings(options)
    if options.action == "acls":
        return _acls(settings, options)
    from inspector.clients.terminal import topic_lines
    from inspector.clients.topics import apply_topics

    reports = asyncio.run(apply_topics(settings, replication=options.replication, min_insync=options.min_insync))
    for report in reports:
        print("\n".join(topic_lines(report)))
    return EXIT_FAILED if any(report.differences for report in reports) else 0


def _audit(given: Given) -> int:
    from inspector.settings.commands import AuditOptions

    options = _checked(AuditOptions, given)
    import asyncio

    from inspector.releases.journal import verify_topics

    verdict = asyncio.run(verify_topics(_client_settings(options)))
    for note in verdict.notes:
        print(f"note: {note}")
    for fault in verdict.faults:
        print(f"fault: {fault}")
    print(f"{_counted(verdict.links, 'record')}, {_counted(len(verdict.faults), 'fault')}")
    return EXIT_FAILED if verdict.faults else 0


def _gate(given: Given) -> int:
    from inspector.settings.commands import GateOptions

    options = _checked(GateOptions, given)
    from inspector.gate.command import make_gate_process
    from inspector.gate.terminal import GateDisplay
    from inspector.loop.heap import freeze_heap

    # The gate's own sentences say it, once; aiokafka's say it every second.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    process = make_gate_process(_client_settings(options), watchers=[GateDisplay(as_json=options.json_output)])
    freeze_heap()
    _until_interrupted(process.run)
    return 0


def _archive(given: Given) -> int:
    from inspector.settings.commands import ArchiveOptions

    options = _checked(ArchiveOptions, given)
    from inspector.archive.command import account_of, create, run

    settings = _client_settings(options)
    if options.create:
        create(settings)
        print(f"{settings.archive.url}: an archive")
        return 0
    if options.verify_files:
        account = account_of(settings)
        print("\n".join(account.lines()))
        return 0 if account.is_whole else EXIT_FAILED
    from inspector.observe.logs import configure_logging

    configure_logging(settings.log_level, as_json=settings.log_json)
    return run(settings)


def _line_simulator(given: Given) -> int:
    from inspector.settings.commands import LineSimulatorOptions

    options = _checked(LineSimulatorOptions, given)
    from inspector.line.command import simulate_line
    from inspector.line.terminal import LineDisplay, tally_json, tally_line

    settings = _client_settings(options)
    display = LineDisplay(as_json=options.json_output)
    line, unentitled = _until_interrupted(lambda stop: simulate_line(settings, options, display.show, stop))
    print((tally_json if options.json_output else tally_line)(line.tally, unentitled))
    return 0 if line.has_run and not unentitled and not line.tally.acted_twice else EXIT_FAILED


def _acls(settings: Settings, options: TopicsOptions) -> int:
    import asyncio

    from inspector.clients.acls import acls_of, apply_acls, commands, principals

    roles = principals(options.principal)
    acls = acls_of(settings, roles)
    if not options.grant:
        print("\n".join(commands(settings, acls)))
        return 0
    asyncio.run(apply_acls(settings, acls))
    for role, principal in roles.items():
        print(f"{role}: {principal} has its rights")
    return 0


def _until_interrupted(work: Callable[[asyncio.Event], Coroutine[Any, Any, T]]) -> T:
    """Run a client; SIGINT and SIGTERM ask it to come to an end, a second one ends it."""
    import asyncio

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


_HANDLERS: Final[Mapping[str, Callable[[Given], int]]] = MappingProxyType(
    {
        "run": _run,
        "config": _config,
        "replay": _replay,
        "results": _results,
        "topics": _topics,
        "audit": _audit,
        "gate": _gate,
        "archive": _archive,
        "line-simulator": _line_simulator,
    }
)
