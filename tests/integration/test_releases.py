"""Releases as an operator makes them: on Apache Kafka, from the store to the topic and back, with their records."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from inspector import cli
from inspector.anomaly.model.bundle import read_dl_model, write_dl_model
from inspector.bus.ports import ProducedRecord
from inspector.bus.producer import KafkaProducer
from inspector.clients.topics import apply_topics
from inspector.releases.edit import with_changes
from inspector.releases.errors import ReleaseRaceError
from inspector.releases.journal import Change, Journal, connect_journal
from inspector.settings.file import load_settings
from inspector.settings.kafka import KafkaSettings
from schemas import CameraModels, LiveChanges, ModelRelease, decode
from tests.bundles import change_manifest
from tests.models import make_bundle, tiny_model
from trainer.commands import cli as trainer

pytestmark = pytest.mark.kafka

CAMERAS = ("line/a", "line/b")


class Killed(Exception):  # noqa: N818 it is no error
    """What ends a writer in the middle."""


@pytest.fixture
def config(kafka_settings: KafkaSettings, unique_name: str, tmp_path: Path) -> Path:
    """The settings of an inspector with two cameras and a folder of bundles; the topics are there."""
    file = tmp_path / "inspector.toml"
    cameras = "".join(f'[[cameras]]\nline_id = "line"\ncamera_id = "{camera[-1]}"\nmodel = "m"\n' for camera in CAMERAS)
    file.write_text(
        f'[kafka]\nbootstrap_servers = "{kafka_settings.bootstrap_servers}"\n'
        f"idempotent = {str(kafka_settings.idempotent).lower()}\n"
        f'[topics]\nprefix = "{unique_name}"\nframes_partitions = 1\n'
        f'[releases]\nstore = "file://{tmp_path}/store/"\ncache = "cache"\n[models]\nm = "m"\n{cameras}'
    )
    asyncio.run(apply_topics(load_settings(file), replication=1))
    return file


class Operator:
    """Types commands and reads what they say."""

    def __init__(self, config: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._config, self._capsys = config, capsys

    def trainer(self, *words: str) -> tuple[int, str, str]:
        status = trainer.run([*words, "--config", str(self._config)])
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def releases(self) -> dict[str, ModelRelease]:
        status, out, _ = self.trainer("releases", "--json")
        assert status == 0
        found = [json.loads(line) for line in out.splitlines()]
        return {
            one.pop("camera"): ModelRelease.model_validate_json(
                json.dumps({k: v for k, v in one.items() if k != "camera"})
            )
            for one in found
        }

    def verify(self) -> tuple[int, str]:
        status = cli.main(["audit", "verify", "--config", str(self._config)])
        return status, self._capsys.readouterr().out


@pytest.fixture
def operator(config: Path, capsys: pytest.CaptureFixture[str]) -> Operator:
    return Operator(config, capsys)


def of(*cameras: str) -> list[str]:
    return [word for camera in cameras for word in ("--camera", camera)]


def test_a_model_is_released_tried_tuned_and_rolled_back_and_every_step_is_on_record(
    operator: Operator, tmp_path: Path
) -> None:
    first, second = (str(make_bundle(tmp_path / name, name=name, channels=1)) for name in ("one", "two"))
    assert operator.trainer("releases")[1] == "no model was released: the models of the inspectors' settings judge\n"
    status, out, _ = operator.trainer("release", first, *of(*CAMERAS), "--by", "ada", "--note", "better lamps")
    assert status == 0
    assert [line.split(":")[0] for line in out.splitlines()] == list(CAMERAS)
    assert "release 1: the settings' model -> one 1 (" in out
    assert operator.trainer("release", second, *of("line/a"), "--canary", "10")[0] == 0
    assert operator.trainer("release", *of("line/a"), "--threshold", "0.625", "--budget-ms", "500")[0] == 0
    found = operator.releases()
    assert {camera: release.number for camera, release in found.items()} == {"line/a": 3, "line/b": 1}
    models = found["line/a"].models
    assert models.active is not None
    assert models.candidate is not None
    assert (models.active.model.name, models.candidate.bundle.model.name, models.candidate.percent) == (
        "one",
        "two",
        10,
    )
    assert models.changes == LiveChanges(classification_threshold=0.625, budget_us=500_000)
    assert (found["line/b"].released_by, models.active.url.startswith(f"file://{tmp_path}/store/")) == ("ada", True)
    stored = Path(models.active.url.removeprefix("file://"))
    assert read_dl_model(stored).digest == models.active.model.digest
    table = operator.trainer("releases")[1]
    assert all(word in table for word in ("line/a", "line/b", "canary", "0.625"))
    assert operator.trainer("rollback", *of("line/a"))[0] == 0, "ends the trial"
    assert operator.trainer("release", second, *of("line/a"))[0] == 0
    assert operator.trainer("rollback", *of("line/a"))[0] == 0
    back = operator.releases()["line/a"].models
    assert back.active == models.active
    assert back.changes == LiveChanges(budget_us=500_000)
    status, out = operator.verify()
    assert (status, out) == (0, "7 records, 0 faults\n")


def test_what_cannot_be_released_is_refused_and_nothing_is_written(operator: Operator, tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "made", channels=1)
    uncalibrated = tiny_model(channels=1)
    uncalibrated.thresholds = None
    write_dl_model(tmp_path / "uncalibrated", uncalibrated, golden_images=[read_dl_model(bundle).golden_images[0]])
    spoilt = make_bundle(tmp_path / "spoilt", channels=1)
    change_manifest(spoilt, lambda document: document["golden_samples"][0].update(anomaly_score=0.9))
    refusals = [
        (["release", str(tmp_path / "none"), *of("line/a")], 1, "is "),
        (["release", str(tmp_path / "uncalibrated"), *of("line/a")], 1, "has no thresholds"),
        (["release", str(spoilt), *of("line/a")], 1, "golden sample"),
        (
            ["release", str(bundle), *of("line/c")],
            2,
            "the settings do not contain the camera line/c, only line/a, line/b",
        ),
        (["release", str(bundle), *of("a")], 2, "give LINE/CAMERA"),
        (
            ["release", str(bundle), *of("line/a"), "--store", "https://host/"],
            2,
            "does not begin with s3:// or file:///",
        ),
        (["rollback", *of("line/a")], 1, "line/a: no model was released before"),
        (["release", *of("line/a"), "--as-set"], 1, "it is already judged this way (release 0)"),
    ]
    for words, expected, told in refusals:
        status, out, err = operator.trainer(*words)
        assert (status, out) == (expected, ""), words
        assert told in err
    assert operator.releases() == {}
    assert operator.verify() == (0, "0 records, 0 faults\n")


async def test_of_two_changes_at_once_one_counts_and_the_other_is_told_so(config: Path) -> None:
    settings = load_settings(config)

    def change(budget_us: int, by: str) -> Change:
        return Change("settings", lambda old: with_changes(old, LiveChanges(budget_us=budget_us), as_set=False), by)

    async with connect_journal(settings, writes=True) as first, connect_journal(settings, writes=True) as second:
        await first.change("line", "a", change(1, "ada"))
        raced = asyncio.Event()

        class Slow(Journal):
            """Has read what there is, and lets the other one write before it does."""

            async def _send(self, topic: str, key: bytes, value: bytes) -> None:
                if not raced.is_set():
                    raced.set()
                    await first.change("line", "a", change(2, "ada"))
                await super()._send(topic, key, value)

        slow = Slow(settings, second._models, second._audit, second._producer)
        with pytest.raises(ReleaseRaceError, match="was changed by ada at the same moment"):
            await slow.change("line", "a", change(3, "bob"))
        found = (await first.releases())["line/a"]
        assert (found.number, found.models.changes.budget_us) == (2, 2)
        written = await second.change("line", "a", change(3, "bob"))
        assert (written.release.number, written.old.changes.budget_us) == (3, 2)


async def test_a_writer_that_died_between_record_and_release_and_a_forged_release_are_seen(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = load_settings(config)
    topic = settings.topics.models_topic

    class Dying(Journal):
        async def _send(self, topic: str, key: bytes, value: bytes) -> None:
            if topic == self._models_topic:
                raise Killed
            await super()._send(topic, key, value)

    change = Change("settings", lambda old: with_changes(old, LiveChanges(budget_us=7), as_set=False), "ada")
    async with connect_journal(settings, writes=True) as journal:
        dying = Dying(settings, journal._models, journal._audit, journal._producer)
        with pytest.raises(Killed):
            await dying.change("line", "a", change)
        assert await asyncio.to_thread(cli.main, ["audit", "verify", "--config", str(config)]) == 1
        assert "no release of line/a" in capsys.readouterr().out
        again = Change("settings", lambda old: with_changes(old, LiveChanges(budget_us=8), as_set=False), "bob")
        written = await journal.change("line", "a", again)
        assert (written.release.number, written.old.changes.budget_us) == (2, 7), "the record counted"
        assert await asyncio.to_thread(cli.main, ["audit", "verify", "--config", str(config)]) == 0
    producer = KafkaProducer(settings.kafka, max_record_bytes=1 << 20)
    await producer.start()
    forged = written.release.model_copy(update={"models": CameraModels(active=None)})
    from schemas import encode

    await producer.send((topic, 0), [ProducedRecord(topic, b"line/a", encode(forged), [])])
    await producer.stop()
    assert decode(ModelRelease, encode(forged)) == forged
    assert await asyncio.to_thread(cli.main, ["audit", "verify", "--config", str(config)]) == 1
    assert "contradicts its record" in capsys.readouterr().out
