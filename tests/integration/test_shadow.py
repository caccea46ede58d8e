"""A model tried in the shadow as an operator does it: on Apache Kafka, from the release to the page that compares."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.anomaly.types import Thresholds
from inspector.clients.topics import apply_topics
from inspector.releases.trial import TrialReader
from inspector.service import EXIT_CLEAN, Service
from inspector.settings.file import load_settings
from inspector.settings.kafka import KafkaSettings
from inspector.settings.settings import Settings
from schemas import CameraFrame, DLResultMessage, RecordSource, ShadowResultMessage
from schemas.archive.layout import ArchivedImage, archive_name
from tests.buses import KafkaBus, wait_until
from tests.frames import camera_frame, record_of
from tests.models import make_bundle, ok_picture
from trainer.commands import cli as trainer

pytestmark = pytest.mark.kafka

FRAMES = 12


def encoded(seq: int) -> bytes:
    is_coded, data = cv2.imencode(".png", ok_picture(np.random.default_rng(seq), channels=1))
    assert is_coded
    return data.tobytes()


@pytest.fixture
def config(kafka_settings: KafkaSettings, unique_name: str, tmp_path: Path) -> Path:
    """The settings of an inspector with a model, and the topics."""
    make_bundle(tmp_path, name="m", channels=1)
    file = tmp_path / "inspector.toml"
    file.write_text(
        f'device_threads = 1\n[kafka]\nbootstrap_servers = "{kafka_settings.bootstrap_servers}"\ngroup_id = "{unique_name}"\n'
        f"idempotent = {str(kafka_settings.idempotent).lower()}\n"
        f'[topics]\nprefix = "{unique_name}"\nframes_partitions = 1\n[deadline]\ndefault_budget_ms = 600000\n[http]\nport = 0\n'
        f'[releases]\nstore = "file://{tmp_path}/store/"\ncache = "cache"\n[models]\nm = "m"\n'
        '[[cameras]]\nline_id = "line"\ncamera_id = "a"\nmodel = "m"\npartition = 0\n'
    )
    asyncio.run(apply_topics(load_settings(file), replication=1))
    return file


def strict_bundle(folder: Path) -> Path:
    """A candidate that rejects everything."""
    model = read_dl_model(make_bundle(folder, name="made", channels=1, seed=5))
    model.thresholds = Thresholds(classification=1e-6, segmentation=0.5)
    write_dl_model(folder / "strict", model, golden_images=list(model.golden_images))
    return folder / "strict"


async def run_trial(settings: Settings, seqs: range) -> None:
    """Let an inspector judge frames of camera a, and a model on trial see them."""
    bus = KafkaBus(settings.kafka, settings.topics)
    service = Service(settings)
    task = asyncio.create_task(service.run())
    try:
        await wait_until(lambda: not service.health.not_ready() or task.done(), timeout_s=240)
        await wait_until(
            lambda: any(f.name == "inspector_shadow_in_use" and f.samples for f in service.metrics.registry.collect()),
            timeout_s=240,
        )
        for seq in seqs:
            frame = camera_frame("a", seq, time.time_ns() // 1000, image=encoded(seq))
            await bus.publish(0, *record_of(frame))
        await bus.wait_for_results(seqs.stop, timeout_s=240)
        while len(await bus.records(settings.topics.shadow_topic)) < len(seqs):
            await asyncio.sleep(0.1)
    finally:
        service.stop()
        status = await task
    assert status == EXIT_CLEAN


def test_a_model_is_tried_in_the_shadow_and_compared(
    config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(config)
    shared = ["--config", str(config)]
    assert trainer.run(["compare", "--camera", "line/a", *shared]) == 1
    assert "no model on trial has said anything" in capsys.readouterr().err
    candidate = strict_bundle(tmp_path)
    assert trainer.run(["release", str(candidate), "--camera", "line/a", "--shadow", *shared]) == 0
    assert "shadow: " in capsys.readouterr().out
    asyncio.run(run_trial(settings, range(FRAMES)))

    out = tmp_path / "out"
    assert trainer.run(["compare", "--camera", "line/a", "--out", str(out), "--json", *shared]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["frames"], found["unseen"], found["unpaired"]) == (FRAMES, 0, 0)
    assert found["tried"]["digest"] == read_dl_model(candidate).digest
    counts = {(one["counted"], one["shadow"]): one["count"] for one in found["verdicts"]}
    assert sum(count for (_, shadow), count in counts.items() if shadow == "nok") == FRAMES, "it rejects everything"
    differing = sum(count for (counted, _), count in counts.items() if counted == "ok")
    assert found["differing"]["count"] == differing > 0
    assert found["differing"]["low"] < differing / FRAMES <= found["differing"]["high"]
    page = (out / "compare.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == differing, "from the frames topic, which still holds them"

    archive = tmp_path / "archive"
    kept = found["differences"][0]
    image = ArchivedImage("line", "a", kept["part_id"], kept["seq"], kept["captured_at"], "ok", "png")
    file = archive / archive_name(image)
    file.parent.mkdir(parents=True)
    file.write_bytes(encoded(kept["seq"]))
    assert trainer.run(["compare", "--camera", "line/a", "--out", str(out), "--archive", str(archive), *shared]) == 0
    assert f"files: {out}" in capsys.readouterr().out
    page = (out / "compare.html").read_text()
    assert page.count('src="data:image/jpeg;base64,') == 1, "the archive has kept one of them"
    assert page.count("its picture is not there any more") == differing - 1

    assert trainer.run(["compare", "--camera", "line/a", "--to", "2020-01-01T00:00:00Z", *shared]) == 1
    assert "widen the window" in capsys.readouterr().err
    assert trainer.run(["compare", "--camera", "line/a", "--archive", str(tmp_path / "none"), *shared]) == 1
    assert "give the archive's root to --archive" in capsys.readouterr().err
    _window_is_kept(settings, found["differences"])


def _window_is_kept(settings: Settings, frames: list[dict[str, int]]) -> None:
    """Only captures of the window are handed on, and frames are found where results say that they lay."""
    captures = sorted(frame["captured_at"] for frame in frames)
    first, last = captures[1], captures[-1]
    trial = TrialReader(settings, ("line", "a"), (first, last))
    shadow: list[ShadowResultMessage] = []
    results: list[DLResultMessage] = []
    trial.read_shadow(shadow.append)
    trial.read_verdicts(results.append, first_us=0)
    seen = {message.captured_at for message in (*shadow, *results)}
    assert first in seen
    assert last not in seen
    assert min(at or 0 for at in seen) == first
    source = results[0].source
    gone = RecordSource(topic=source.topic, partition=source.partition, offset=10_000)
    found = trial.read_frames([source, gone])
    assert set(found) == {source}
    assert isinstance(found[source], CameraFrame)
    assert found[source].identity == results[0].identity
