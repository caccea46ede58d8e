"""The command line: lazy imports, exit statuses, and a sentence for every refusal."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from inspector import cli
from inspector.errors import BusError
from inspector.settings.commands import ReplayOptions, camera_ids
from inspector.settings.settings import Settings
from tests.models import make_bundle

CAMERAS = '[models]\nm = "m"\n[[cameras]]\nline_id = "L"\ncamera_id = "C"\nmodel = "m"\n'

pytestmark = pytest.mark.usefixtures("no_settings_in_the_environment")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "line.toml"
    path.write_text(CAMERAS)
    return path


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Settings]:
    """What `inspector run` would have run."""
    started: list[Settings] = []
    service = ModuleType("inspector.service")

    def run(settings: Settings) -> int:
        started.append(settings)
        return 3

    service.run = run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "inspector.service", service)
    monkeypatch.setattr("inspector.observe.logs.configure_logging", lambda *_args, **_kwargs: None)
    return started


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(argv) == cli.EXIT_USAGE
    return capsys.readouterr().err


def test_run_hands_the_settings_to_the_service_and_returns_its_status(file: Path, runs: list[Settings]) -> None:
    status = cli.main(
        ["run", "--config", str(file), "--kafka.group_id", "g", "--log_json", "--batching.max_batch_size", "4"]
    )
    assert status == 3
    (settings,) = runs
    assert (settings.kafka.group_id, settings.log_json, settings.batching.max_batch_size) == ("g", True, 4)
    assert [camera.key for camera in settings.cameras] == ["L/C"]


def test_run_without_cameras_is_refused(runs: list[Settings], capsys: pytest.CaptureFixture[str]) -> None:
    assert "there are no [[cameras]]" in refusal(capsys, "run")
    assert runs == []


def test_run_names_a_wrong_option(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error = refusal(capsys, "run", "--config", str(file), "--batching.max_batch_size", "many")
    assert error.startswith("inspector: command line: batching.max_batch_size: input should be a valid integer")
    with pytest.raises(SystemExit) as left:
        cli.main(["run", "--kafka.grp", "x"])
    assert left.value.code == cli.EXIT_USAGE
    assert "--kafka.grp" in capsys.readouterr().err


def test_config_example_passes_its_own_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["config", "--example"]) == 0
    file = tmp_path / "example.toml"
    file.write_text(capsys.readouterr().out)
    assert cli.main(["config", "--check", str(file)]) == 0
    assert "0 cameras and 0 models, all well; `inspector run` needs a camera" in capsys.readouterr().out


def test_config_check_reads_bundles_and_counts_what_there_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "inspector.toml"
    file.write_text('[models]\nm = "there"\n[[cameras]]\nline_id = "l"\ncamera_id = "c"\nmodel = "m"\n')
    assert "models.m" in refusal(capsys, "config", "--check", str(file))
    shutil.copytree(make_bundle(tmp_path / "made"), tmp_path / "there")
    assert cli.main(["config", "--check", str(file)]) == 0
    assert "1 camera and 1 model, all well" in capsys.readouterr().out
    (tmp_path / "there" / "bundle.json").write_text("{}")
    assert "models.m: " in refusal(capsys, "config", "--check", str(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[http]\nhost = "203.0.113.7"\n', "http.host: '203.0.113.7' is not an address of this machine"),
        ("device_threads = 1000\n", "device_threads: 1000 threads are too many for"),
        ('[kafka]\nssl_cafile = "none.pem"\nsecurity_protocol = "SSL"\n', "kafka.ssl_cafile: the file "),
        ('[kafka]\nbootstrap_servers = "broker"\n', "'broker' is not of the form host:port"),
    ],
)
def test_what_the_machine_lacks_is_refused_by_check_and_by_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    file = tmp_path / "inspector.toml"
    cameras = '[models]\nm = "m"\n[[cameras]]\nline_id = "l"\ncamera_id = "c"\nmodel = "m"\n'
    file.write_text(text + cameras)
    assert message in refusal(capsys, "config", "--check", str(file))
    assert message in refusal(capsys, "run", "--config", str(file))


def test_config_check_can_ask_the_broker_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "inspector.toml"
    file.write_text('device_threads = 1000\n[kafka]\nbootstrap_servers = "127.0.0.1:1"\n')
    lines = refusal(capsys, "config", "--check", str(file), "--connect").splitlines()
    assert [line.split(": ")[2] for line in lines] == ["device_threads", "kafka"]
    assert "127.0.0.1:1" in lines[1]


def test_config_check_tells_every_fault_on_a_line_of_its_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bad.toml"
    file.write_text("devise = 1\nlog_level = 2\n")
    lines = refusal(capsys, "config", "--check", str(file)).splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"inspector: {file}: ") for line in lines)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["replay", "{dir}", "--camera", "C", "--rate", "1"], "'C' is not a camera; give --camera LINE/CAMERA"),
        (["replay", "{dir}", "--camera", "L/C", "--line", "L", "--rate", "1"], "'L/L/C' is not a camera"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "-1"], "--rate must be at least 0"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "nan"], "--rate must be at least 0"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "inf"], "--rate must be at least 0"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "1", "--count", "0"], "--count must be at least 1"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "1", "--budget-ms", "0"], "--budget-ms must be at least 1"),
        (["replay", "{dir}/none", "--camera", "L/C", "--rate", "1"], "is not a folder"),
        (["topics", "apply", "--replication", "0"], "--replication must be at least 1"),
        (["topics", "apply", "--replication", "2", "--min-insync", "3"], "--min-insync between 1 and"),
        (["topics", "destroy"], "input should be 'apply' or 'acls', got 'destroy'"),
        (["topics", "apply", "--replication", "many"], "--replication"),
        (["config"], "give either --example or --check FILE"),
        (["config", "--example", "--connect"], "--connect needs --check FILE"),
        (["config", "--example", "--check", "f"], "give either --example or --check FILE"),
        (["replay", "{dir}", "--camera", "L/C", "--rate", "fast"], "--rate: input should be a valid number"),
        (["results", "--camera", "C"], "'C' is not a camera"),
        (["results", "--config", "{dir}/none.toml"], "does not exist"),
    ],
)
def test_wrong_arguments_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], argv: list[str], message: str
) -> None:
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    assert message in refusal(capsys, *(argument.format(dir=tmp_path) for argument in argv))


@pytest.mark.parametrize(("camera", "line"), [("L/C", None), ("C", "L")])
def test_a_camera_is_named_by_both_ids(camera: str, line: str | None) -> None:
    assert camera_ids(camera, line) == ("L", "C")


@pytest.mark.parametrize(
    ("arguments", "count"),
    [
        ([], 2),
        (["--count", "1"], 1),
        (["--count", "9"], 2),
        (["--cycle"], None),
        (["--cycle", "--count", "9"], 9),
    ],
)
def test_replay_sends_each_file_once_unless_it_cycles(tmp_path: Path, arguments: list[str], count: int | None) -> None:
    typed = ["replay", str(tmp_path), "--camera", "L/C", "--rate", "5", "--budget-ms", "70", *arguments]
    options = ReplayOptions.model_validate(cli.parse_arguments(typed).values)
    plan = cli.replay_plan(options, [tmp_path / "1.jpg", tmp_path / "2.jpg"])
    assert plan.count == count
    assert (plan.line_id, plan.camera_id, plan.rate, plan.budget_us) == ("L", "C", 5.0, 70_000)


def test_a_fault_of_the_broker_is_a_sentence_and_status_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BusError("could not connect to kafka:9092")

    monkeypatch.setattr("inspector.clients.topics.connect_admin", fail)
    assert cli.main(["topics", "apply"]) == cli.EXIT_FAILED
    assert capsys.readouterr().err == "inspector: could not connect to kafka:9092\n"


@pytest.mark.parametrize(
    ("module", "argv", "extra"),
    [
        ("aiokafka", ["results"], "client"),
        ("pydantic_settings", ["results"], "client"),
        ("rich", ["results"], "client"),
        ("structlog", ["run", "--config", "{file}"], "inspector"),
        ("prometheus_client", ["run", "--config", "{file}"], "inspector"),
        ("numpy", ["run", "--config", "{file}"], "inspector"),
    ],
)
def test_a_missing_package_names_the_extra_that_brings_it(file: Path, module: str, argv: list[str], extra: str) -> None:
    code = f"import sys; sys.modules[{module!r}] = None; from inspector.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, *(argument.format(file=file) for argument in argv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == cli.EXIT_USAGE, done.stderr
    assert (
        done.stderr == f"inspector: {module} is not installed. In the clone of line-inspector, run: pip install "
        f"'.[{extra}]'\n"
    )


def test_a_missing_module_of_ours_is_no_missing_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "inspector.settings.example", None)
    with pytest.raises(ModuleNotFoundError):
        cli.main(["config", "--example"])


@pytest.mark.parametrize(
    "argv", [["config", "--example"], ["gate", "--help"], ["run", "--help"], ["line-simulator", "--help"]]
)
def test_light_commands_load_neither_torch_nor_opencv(argv: list[str]) -> None:
    code = (
        "import atexit, sys\n"
        "heavy = ('torch', 'cv2', 'numpy')\n"
        "atexit.register(lambda: print([m for m in heavy if m in sys.modules], file=sys.stderr))\n"
        "from inspector.cli import main\n"
        "import inspector.clients.replay, inspector.clients.topics, inspector.gate.command, inspector.line.command\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, *argv], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "[]\n"


def test_a_reader_that_has_left_ends_it_without_a_word() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "inspector", "config", "--example"]
    try:
        done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")
