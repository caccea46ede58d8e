"""The clients' own logic, without a broker: which files, which ids, which topics, which lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.clients.replay import ReplaySummary, find_images, part_id_of
from inspector.clients.results import Verdict, result_topics
from inspector.clients.terminal import summary_json, summary_line, verdict_json, verdict_line
from inspector.clients.topics import wanted_topics
from inspector.errors import ConfigError
from inspector.settings.settings import Settings
from schemas import CameraFrame, image_digest
from tests.messages import message, refused

JPEG = b"\xff\xd8\xff\xe0 and so on"
PNG = b"\x89PNG\r\n\x1a\n and so on"

# --------------------------------------------------------------------------------------------------------- replay


def test_images_are_found_below_a_folder_in_order_of_their_names(tmp_path: Path) -> None:
    for name, data in (
        ("b/2.JPG", JPEG),
        ("b/1.png", PNG),
        ("a.jpeg", JPEG),
        ("b/notes.txt", b"x"),
        ("b/3.bmp", b"BM"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    found = find_images(tmp_path, max_bytes=100)
    assert [str(path.relative_to(tmp_path)) for path in found] == ["a.jpeg", "b/1.png", "b/2.JPG"]


@pytest.mark.parametrize(
    ("files", "message_"),
    [
        ({}, "contains no image"),
        ({"a.txt": b"x"}, "contains no image"),
        (
            {"a.jpg": JPEG, "b.jpg": JPEG + b"x" * 100},
            r"b\.jpg has 114 bytes, more than limits.max_frame_bytes \(100\)",
        ),
        ({"a.jpg": b"GIF89a"}, r"a\.jpg is neither JPEG nor PNG"),
        ({"a.png": b""}, r"a\.png is neither JPEG nor PNG"),
    ],
)
def test_a_folder_that_cannot_be_replayed_is_refused(tmp_path: Path, files: dict[str, bytes], message_: str) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=message_):
        find_images(tmp_path, max_bytes=100)


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a folder"):
        find_images(tmp_path / "none", max_bytes=100)


def test_part_ids_tell_the_file() -> None:
    assert part_id_of(Path("/d/good/000.jpg"), Path("/d"), 12) == "good_000-12"


@given(st.text(min_size=1).filter(lambda s: not set(s) & {"/", "\0"} and s not in {".", ".."}), st.integers(0, 2**53))
def test_part_ids_are_always_legal(name: str, seq: int) -> None:
    part_id = part_id_of(Path("/d") / (name + ".jpg"), Path("/d"), seq)
    frame = CameraFrame(
        line_id="L", camera_id="C", part_id=part_id, seq=0, captured_at=1, encoding="jpeg", image=JPEG,
        image_digest=image_digest(JPEG),
    )  # fmt: skip
    assert frame.part_id.endswith(f"-{seq}")


def test_summary_tells_what_was_not_taken() -> None:
    summary = ReplaySummary("L1/C1", "t", frames=90, failed=10, num_bytes=9_000_000, seconds=3.0, errors=["no leader"])
    assert summary_line(summary) == "L1/C1: 90 frames, 9.0 MB, to t in 3.0 s (30.0 frames/s); 10 NOT taken: no leader"
    told = json.loads(summary_json(summary))
    assert (told["event"], told["frames"], told["failed"], told["fps"]) == ("summary", 90, 10, 30.0)


# -------------------------------------------------------------------------------------------------------- results


def test_a_line_tells_verdict_score_limit_and_latency() -> None:
    line = verdict_line(Verdict("t", 0, 1, message()))
    assert line.plain.split()[1:] == ["L1/C1", "part-1", "OK", "0.2500", "0.5000", "42"]
    assert [span.style for span in line.spans] == ["green"]


def test_a_line_tells_why_there_is_no_score_and_that_it_is_late() -> None:
    late = refused().model_copy(update={"produced_at": 1_700_000_002_000_000})
    line = verdict_line(Verdict("t", 0, 1, late))
    assert line.plain.split()[3:] == ["NOK", "2000", "undecodable:", "corrupt,", "late"]
    assert [span.style for span in line.spans] == ["bold red"]


def test_a_line_marks_a_repeated_result() -> None:
    assert verdict_line(Verdict("t", 0, 1, message(), is_repeat=True)).plain.endswith("(again)")


def test_a_line_tells_of_a_record_that_is_no_result() -> None:
    assert verdict_line(Verdict("t", 3, 9, None, error="not msgpack")).plain == "t/3@9: no result: not msgpack"


def test_markup_in_a_name_is_not_taken_for_markup() -> None:
    odd = Verdict("t", 0, 1, None, error="[red]x[/nothing]")
    assert "[red]x[/nothing]" in verdict_line(odd).plain


def test_json_has_the_message_and_its_place() -> None:
    told = json.loads(verdict_json(Verdict("t", 2, 9, message(), is_repeat=True)))
    assert (told["topic"], told["partition"], told["offset"], told["is_repeat"]) == ("t", 2, 9, True)
    assert (told["part_id"], told["anomaly_class_id"], told["status"]) == ("part-1", 0, "inspected")
    assert json.loads(verdict_json(Verdict("t", 2, 9, None, error="bad")))["error"] == "bad"


def _settings(**sections: Any) -> Settings:
    camera = {"line_id": "L1", "model": "m"}
    cameras = [camera | {"camera_id": "C1"}, camera | {"camera_id": "C2"}]
    return Settings.model_validate({"models": {"m": "/m"}, "cameras": cameras} | sections)


def test_results_are_read_from_the_topics_of_the_configured_cameras() -> None:
    assert result_topics(_settings()) == ["inspection.results"]
    per_camera = {"results": "r.{line_id}.{camera_id}"}
    assert result_topics(_settings(topics=per_camera)) == ["r.L1.C1", "r.L1.C2", "r.unknown.unknown"]
    assert result_topics(_settings(topics={"results": "r.{line_id}"})) == ["r.L1", "r.unknown"]
    with pytest.raises(ConfigError, match="depends on the camera"):
        result_topics(_settings(topics=per_camera, cameras=[]))


# --------------------------------------------------------------------------------------------------------- topics


def test_topics_take_the_largest_frame_and_survive_a_broker() -> None:
    settings = _settings()
    frames, results, deadletters = wanted_topics(settings)
    assert [topic.name for topic in (frames, results, deadletters)] == [
        "inspection.frames", "inspection.results", "inspection.deadletters",
    ]  # fmt: skip
    assert frames.partitions == settings.topics.frames_partitions
    assert int(frames.config["max.message.bytes"]) >= settings.limits.max_message_bytes > 8 * 1024 * 1024
    assert frames.config["compression.type"] == "uncompressed"
    assert int(deadletters.config["max.message.bytes"]) > int(frames.config["max.message.bytes"])
    for topic in (frames, results, deadletters):
        assert topic.replication == 3
        assert topic.config["min.insync.replicas"] == "2"


@pytest.mark.parametrize(
    ("replication", "asked", "expected"), [(1, None, "1"), (2, None, "1"), (5, None, "4"), (3, 1, "1")]
)
def test_in_sync_copies_follow_the_replication(replication: int, asked: int | None, expected: str) -> None:
    topics = wanted_topics(_settings(), replication=replication, min_insync=asked)
    assert {topic.config["min.insync.replicas"] for topic in topics} == {expected}
    assert {topic.replication for topic in topics} == {replication}


def test_a_results_topic_for_each_camera_where_its_name_says_so() -> None:
    names = [topic.name for topic in wanted_topics(_settings(topics={"results": "r.{camera_id}"}))]
    assert names == ["inspection.frames", "r.C1", "r.C2", "r.unknown", "inspection.deadletters"]


def test_releases_have_a_compacted_topic_and_a_record_for_ever_beside_it() -> None:
    assert not {"inspection.models", "inspection.audit", "inspection.shadow"} & {
        spec.name for spec in wanted_topics(Settings())
    }
    asked = {"releases": {"store": "file:///srv/models/", "cache": "cache"}}
    specs = {spec.name: spec for spec in wanted_topics(Settings.model_validate(asked))}
    shadow = specs["inspection.shadow"]
    assert (shadow.partitions, shadow.config["cleanup.policy"], shadow.config["retention.ms"]) == (
        1,
        "delete",
        str(7 * 86_400_000),
    )
    models, audit = specs["inspection.models"], specs["inspection.audit"]
    assert (models.partitions, models.config["cleanup.policy"]) == (1, "compact")
    assert (audit.partitions, audit.config["cleanup.policy"], audit.config["retention.ms"]) == (1, "delete", "-1")


@pytest.mark.parametrize("asked", [{"heartbeat": {"interval_ms": 500}}, {"gate": {"heartbeat_timeout_ms": 2000}}])
def test_there_is_a_topic_of_heartbeats_where_something_sends_or_reads_them(asked: dict[str, Any]) -> None:
    name = "inspection.heartbeats"
    assert name not in {spec.name for spec in wanted_topics(Settings())}
    (spec,) = [spec for spec in wanted_topics(Settings.model_validate(asked)) if spec.name == name]
    assert (spec.partitions, spec.config["cleanup.policy"]) == (1, "delete")
