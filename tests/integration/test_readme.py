"""What the documents tell a newcomer to do works: the guides' two programs run as they stand, links and targets exist."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from deploy.local.base import Broker, free_port
from inspector.bus.connect import producer_client
from inspector.settings.file import load_settings
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from inspector.settings.topics import TopicSettings
from schemas import CameraFrame, decode, encode, frame_headers, image_digest
from tests.buses import KafkaBus
from tests.e2e.processes import InspectorProcess
from tests.messages import message
from tests.models import make_bundle, nok_image, ok_image

CHECKOUT = Path(__file__).resolve().parents[2]
DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    *(path.relative_to(CHECKOUT).as_posix() for path in sorted((CHECKOUT / "docs").rglob("*.md"))),
)
MAX_LINES = 21
CAMERA, ACTUATOR = "camera", "actuator"
HEADINGS = {CAMERA: "The smallest camera", ACTUATOR: "The smallest actuator"}
LONG_TRAVEL_S, SHORT_TRAVEL_S = 5.0, 1.0
BUDGET_MS = 120_000
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PARTITION"} | {"PYTHONPATH": str(CHECKOUT)}

SETTINGS = """
decode_threads = 1
torch_threads = 1
[kafka]
bootstrap_servers = "{servers}"
group_id = "{group}"
[topics]
prefix = "{prefix}"
[models]
tiny = "{bundle}"
[deadline]
default_budget_ms = {budget_ms}
[[cameras]]
line_id = "L1"
camera_id = "C1"
model = "tiny"
partition = 5
"""


def program(name: str) -> str:
    """The program of the guide for a camera or an actuator."""
    page = (CHECKOUT / f"docs/{name}.md").read_text("utf-8")
    section = page.split(f"\n## {HEADINGS[name]}\n", 1)[1].split("\n## ", 1)[0]
    blocks: list[str] = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 1, f"{name}: {len(blocks)} programs"
    return blocks[0]


@pytest.fixture
def camera_file(tmp_path: Path) -> Path:
    file = tmp_path / "camera.py"
    file.write_text(program(CAMERA), "utf-8")
    return file


@pytest.fixture
def actuator_file(tmp_path: Path) -> Path:
    file = tmp_path / "actuator.py"
    file.write_text(program(ACTUATOR), "utf-8")
    return file


def take_pictures(camera_file: Path, servers: str, topic: str, images: Sequence[Path], **environment: str) -> None:
    """Run the camera until it has sent these files."""
    command = [sys.executable, "-W", "error", str(camera_file), servers, topic, "L1", "C1", *map(str, images)]
    ended = subprocess.run(command, env=ENVIRONMENT | environment, capture_output=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr.decode()


async def waiting_camera(picture: Path) -> BinaryIO:
    """Return where to write a picture that is a named pipe, once the camera has started and waits for it, as for a trigger."""
    async with asyncio.timeout(120):
        while True:
            try:
                pipe = os.open(picture, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:  # nobody reads yet
                await asyncio.sleep(0.02)
            else:
                os.set_blocking(pipe, True)
                return os.fdopen(pipe, "wb")


@asynccontextmanager
async def actuator(actuator_file: Path, servers: str, topic: str, travel_s: float) -> AsyncIterator[int]:
    """Run the actuator; gives the port that it listens on."""
    port = free_port()
    process = _started([sys.executable, str(actuator_file), servers, topic, str(port), str(travel_s)])
    try:
        give_up = time.monotonic() + 60
        while not await asyncio.to_thread(_answers, port):
            assert process.poll() is None, "the actuator has ended"
            assert time.monotonic() < give_up, "the actuator does not listen"
            await asyncio.sleep(0.05)
        yield port
        assert process.poll() is None, "the actuator has ended"
    finally:
        process.kill()
        process.wait()


def _started(command: list[str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, env=ENVIRONMENT)


def _answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class Plc:
    """Names parts to the actuator as a PLC does."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def expect(self, *parts: str) -> dict[str, asyncio.Task[str]]:
        """Name parts; the actuator has got all of them when this returns, and answers later."""
        answers = {}
        for part in parts:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(f"{part}\n".encode())
            await writer.drain()
            answers[part] = asyncio.create_task(self._answer(reader, writer))
        return answers

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        line = await reader.readline()
        assert await reader.read() == b"", "one answer, and then the connection is closed"
        writer.close()
        await writer.wait_closed()
        return line.decode()


async def told(answers: dict[str, asyncio.Task[str]]) -> dict[str, str]:
    async with asyncio.timeout(60):
        return {part: (await answer).strip() for part, answer in answers.items()}


# ------------------------------------------------------------------------------------------------------ the programs


@pytest.mark.parametrize("name", [CAMERA, ACTUATOR])
def test_the_programs_are_small_and_need_a_kafka_client_and_the_messages_only(name: str) -> None:
    text = program(name)
    assert len([line for line in text.splitlines() if line.strip()]) <= MAX_LINES
    imports = re.findall(r"^(?:import|from) (.*?)(?: import .*)?$", text, re.MULTILINE)
    names = {name.strip() for line in imports for name in line.split(",")}
    assert names - set(sys.stdlib_module_names) == {"aiokafka", "schemas"}


@pytest.fixture
def settings_file(
    tmp_path: Path, kafka_broker: Broker, topic_names: TopicSettings, kafka_settings: KafkaSettings
) -> Path:
    file = tmp_path / "inspector.toml"
    file.write_text(
        SETTINGS.format(
            servers=kafka_broker.bootstrap_servers,
            group=kafka_settings.group_id,
            prefix=topic_names.prefix,
            bundle=make_bundle(tmp_path / "bundles"),
            budget_ms=BUDGET_MS,
        )
    )
    return file


@pytest.mark.slow
async def test_an_ok_part_passes_a_nok_part_is_rejected_and_so_is_one_that_nobody_inspects(
    tmp_path: Path, settings_file: Path, camera_file: Path, actuator_file: Path
) -> None:
    settings = load_settings(settings_file)
    servers, frames = settings.kafka.bootstrap_servers, settings.topics.frames_topic
    results = settings.topics.results_topic("L1", "C1")
    generator = np.random.default_rng(7)
    images = {name: tmp_path / f"{name}.jpg" for name in ("ok", "nok", "unseen")}
    for name, file in images.items():
        file.write_bytes((nok_image if name == "nok" else ok_image)(generator, encoding="jpeg"))
    bus = KafkaBus(settings.kafka, settings.topics)
    await bus.make_topics(settings)
    process = InspectorProcess("inspector", settings_file, tmp_path)
    process.start()
    try:
        await process.ready()
        async with actuator(actuator_file, servers, results, LONG_TRAVEL_S) as port:
            pictures = [tmp_path / "camera" / f"{part}.jpg" for part in ("ok", "nok")]
            pictures[0].parent.mkdir()
            for picture in pictures:
                os.mkfifo(picture)
            taking = asyncio.create_task(
                asyncio.to_thread(take_pictures, camera_file, servers, frames, pictures, PARTITION="5")
            )
            pipe = await waiting_camera(pictures[0])
            answers = await Plc(port).expect("L1/C1/ok", "L1/C1/nok", "L1/C1/no-picture")
            with pipe:
                pipe.write(images["ok"].read_bytes())
            with await waiting_camera(pictures[1]) as pipe:
                pipe.write(images["nok"].read_bytes())
            await taking
            assert await told(answers) == {"L1/C1/ok": "PASS", "L1/C1/nok": "REJECT", "L1/C1/no-picture": "REJECT"}
        assert await process.stop(signal.SIGTERM) == 0
    finally:
        process.end()
    async with actuator(actuator_file, servers, results, SHORT_TRAVEL_S) as port:
        answers = await Plc(port).expect("L1/C1/unseen")
        await asyncio.to_thread(take_pictures, camera_file, servers, frames, [images["unseen"]])
        assert await told(answers) == {"L1/C1/unseen": "REJECT"}
    verdicts = {result.part_id: (result.status, result.anomaly_class) for result in await bus.results()}
    assert verdicts == {"ok": ("inspected", "ok"), "nok": ("inspected", "nok")}


async def test_the_camera_sends_what_the_contract_says_on_the_partition_it_is_told(
    tmp_path: Path, kafka_settings: KafkaSettings, topic_names: TopicSettings, camera_file: Path
) -> None:
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(Settings(kafka=kafka_settings, topics=topic_names))
    images = [tmp_path / f"part-{number}.jpg" for number in range(3)]
    for number, file in enumerate(images):
        file.write_bytes(b"\xff\xd8\xff" + bytes([number]) * 2_000_000)
    servers, topic = kafka_settings.bootstrap_servers, topic_names.frames_topic
    before = time.time_ns() // 1000
    await asyncio.to_thread(take_pictures, camera_file, servers, topic, images, PARTITION="6")
    await asyncio.to_thread(take_pictures, camera_file, servers, topic, images)
    after = time.time_ns() // 1000
    records = await bus.records(topic)
    by_partition: dict[int, list[CameraFrame]] = {}
    for record in records:
        frame = decode(CameraFrame, record.value)
        by_partition.setdefault(record.partition, []).append(frame)
        assert record.key == b"L1/C1"
        assert list(record.headers) == frame_headers(frame)
        assert frame.image_digest == image_digest(frame.image)
        assert before <= frame.captured_at <= after
    assert len(records) == 2 * len(images)
    assert 6 in by_partition
    assert len(by_partition) == 2, "the key alone must keep a camera on one partition; choose another one to name"
    for frames in by_partition.values():
        assert [(frame.seq, frame.part_id) for frame in frames] == [(n, f"part-{n}") for n in range(3)]
        assert [frame.image for frame in frames] == [file.read_bytes() for file in images]


# ------------------------------------------------------------------------------------------------------ the actuator


def stamped(part_id: str, *, captured_ago_us: int = 100_000, budget_us: int = 60_000_000, **fields: Any) -> bytes:
    """An `ok` about a picture that was taken a moment ago, unless `fields` say otherwise."""
    captured_at = time.time_ns() // 1000 - captured_ago_us
    stamps = {"captured_at": captured_at, "deadline_at": captured_at + budget_us, "produced_at": captured_at + 1}
    return encode(message(part_id=part_id, **(stamps | fields)))


def nok(part_id: str, **fields: Any) -> bytes:
    verdict: dict[str, Any] = {"anomaly_score": 0.75, "anomaly_class": "nok", "anomaly_class_id": 1}
    return stamped(part_id, **(verdict | fields))


def first_nok_then_ok(part_id: str) -> list[bytes]:
    """Two results with one result_id."""
    captured_at = time.time_ns() // 1000 - 100_000
    return [nok(part_id, captured_at=captured_at), stamped(part_id, captured_at=captured_at)]


CASES: dict[str, tuple[Callable[[], list[bytes]], str]] = {
    "L1/C1/ok": (lambda: [stamped("ok")], "PASS"),
    "L1/C1/repeated": (lambda: [stamped("repeated")] * 3, "PASS"),
    "L1/C1/first-counts": (lambda: first_nok_then_ok("first-counts"), "REJECT"),
    "L1/C1/nok": (lambda: [nok("nok")], "REJECT"),
    "L1/C1/failed": (lambda: [nok("failed", anomaly_score=None, status="failed", reason="geometry")], "REJECT"),
    "L1/C1/late": (lambda: [stamped("late", captured_ago_us=2_000_000, budget_us=1_000_000)], "REJECT"),
    "L1/C1/future": (lambda: [stamped("future", captured_ago_us=-30_000_000)], "REJECT"),
    "L1/C1/two-pictures": (lambda: [stamped("two-pictures"), nok("two-pictures", seq=6)], "REJECT"),
    "L1/C1/two-pictures-back": (lambda: [nok("two-pictures-back", seq=6), stamped("two-pictures-back")], "REJECT"),
    "L1/C1/other-camera": (lambda: [stamped("other-camera", camera_id="C2")], "REJECT"),
    "L1/C1/other-line": (lambda: [stamped("other-line", line_id="L2")], "REJECT"),
    "L1/C1/other-version": (lambda: [stamped("other-version").replace(b"\xa1v\x01", b"\xa1v\x02", 1)], "REJECT"),
    "L1/C1/garbage": (lambda: [b"garbage", b""], "REJECT"),
    "L1/C1/silence": (list, "REJECT"),
    "no such name": (list, "REJECT"),
}


async def test_only_a_positive_fresh_and_timely_ok_of_the_very_part_passes_it_once(
    kafka_settings: KafkaSettings, topic_names: TopicSettings, actuator_file: Path
) -> None:
    bus = KafkaBus(kafka_settings, topic_names)
    await bus.make_topics(Settings(kafka=kafka_settings, topics=topic_names))
    servers, topic = kafka_settings.bootstrap_servers, topic_names.results_topic("L1", "C1")
    producer = producer_client(kafka_settings)
    await producer.start()
    try:
        await producer.send_and_wait(topic, stamped("before"), b"L1/C1")
        async with actuator(actuator_file, servers, topic, SHORT_TRAVEL_S * 4) as port:
            plc = Plc(port)
            expected = await plc.expect(*CASES, "L1/C1/before")
            for make, _ in CASES.values():
                for value in make():
                    await producer.send_and_wait(topic, value, b"L1/C1")
            wanted = {part: answer for part, (_, answer) in CASES.items()} | {"L1/C1/before": "REJECT"}
            assert await told(expected) == wanted
            again = await plc.expect("L1/C1/ok", "L1/C1/late")
            for value in (stamped("ok"), stamped("ok", seq=9), stamped("late", seq=9)):
                await producer.send_and_wait(topic, value, b"L1/C1")
            assert await told(again) == {"L1/C1/ok": "REJECT", "L1/C1/late": "REJECT"}
    finally:
        await producer.stop()


# ----------------------------------------------------------------------------------------- a preprocessing step of one's own


def test_the_preprocessing_step_registers_and_its_parameters_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of the block but the installation of the package, which is pip's."""
    from inspector.anomaly import read_dl_preprocess_param
    from inspector.anomaly.preprocess import steps

    monkeypatch.setattr(steps, "_steps", {})
    text = (CHECKOUT / "docs/steps.md").read_text("utf-8")
    (program,) = re.findall(r"acme_steps\.py <<'END'\n(.*?)^END$", text, re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(compile(program, "acme_steps.py", "exec"), namespace)  # noqa: S102 - our own document
    namespace["write_param"](tmp_path / "param.json", image_width=192, image_height=256)
    param = read_dl_preprocess_param(tmp_path / "param.json")
    assert [step.name for step in param.preprocess_steps] == ["acme.darker"]
    picture = np.full((4, 4, 3), 200, np.uint8)
    assert steps.run_preprocess_steps(picture, param.preprocess_steps).max() == 100


# ----------------------------------------------------------------------------------------------------- the documents


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_link_leads_somewhere(name: str) -> None:
    text = (CHECKOUT / name).read_text("utf-8")
    text = re.sub(r"^(`{3,}).*?^\1|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)  # code is no link
    targets: list[str] = re.findall(r"\]\(<?([^)\s>]+)", text) + re.findall(r"""(?:src|href)=["']([^"']+)""", text)
    for target in targets:
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            found = (CHECKOUT / name).parent / path if path else CHECKOUT / name
            assert found.exists(), f"{name} links to {target}, which is not there"
            assert not anchor or anchor in anchors(found), f"{name} links to {target}: no such heading"


def anchors(document: Path) -> set[str]:
    """The names that the headings of a Markdown file get."""
    headings: list[str] = re.findall(r"^#+ (.+)$", document.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_every_make_target_that_is_named_exists(name: str) -> None:
    makefile = (CHECKOUT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))
    text = (CHECKOUT / name).read_text("utf-8")
    code = re.findall(r"^```(?:sh|bash|shell|console|text)?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    code += re.findall(r"^    .*$", text, re.MULTILINE) + re.findall(r"`[^`\n]+`", text)
    named = {target for block in code for target in re.findall(r"(?:^|[`\s])make ([a-z0-9-]+)", block.split("  #")[0])}
    assert named <= targets, f"{name} names make targets that the Makefile does not have: {sorted(named - targets)}"
