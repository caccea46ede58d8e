from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.account import Account

CAPTURED_AT = 1_700_000_000_000_000


def sent_line(result_id: str, *, captured_at: int = CAPTURED_AT, file: str = "test/good/1.jpg") -> str:
    sent = {"file": file, "part_id": "part", "seq": 0, "captured_at": captured_at, "result_id": result_id}
    return json.dumps({"event": "sent", "partition": 0, "offset": 0, **sent})


def result_line(result_id: str, *, camera_id: str = "top", **changes: Any) -> str:
    fields = {
        "result_id": result_id,
        "line_id": "line1",
        "camera_id": camera_id,
        "part_id": "part",
        "status": "inspected",
        "reason": "none",
        "anomaly_class": "ok",
        "anomaly_score": 0.25,
        "classification_threshold": 0.5,
        "captured_at": CAPTURED_AT,
        "deadline_at": CAPTURED_AT + 5_000_000,
        "anomaly_region": None,
    }
    return json.dumps(fields | changes)


def test_a_frame_is_missing_until_its_verdict_is_read() -> None:
    account = Account(["top"])
    account.take_replay_line("top", sent_line("a"))
    account.take_replay_line("top", sent_line("b"))
    account.take_result_line(result_line("a"), CAPTURED_AT + 40_000)

    assert (account.num_sent, account.num_missing) == (2, 1)
    assert [sent.result_id for sent in account.cameras["top"].missing] == ["b"]


def test_a_verdict_may_be_read_before_its_frame_is_known_to_be_sent() -> None:
    account = Account(["top"])
    account.take_result_line(result_line("a"), CAPTURED_AT + 40_000)
    assert [received.result_id for received in account.cameras["top"].strangers] == ["a"]

    account.take_replay_line("top", sent_line("a"))

    assert (account.num_missing, account.cameras["top"].strangers) == (0, [])


def test_the_first_verdict_counts_and_a_second_is_a_duplicate() -> None:
    account = Account(["top"])
    account.take_replay_line("top", sent_line("a"))

    first = account.take_result_line(result_line("a"), CAPTURED_AT + 40_000)
    second = account.take_result_line(result_line("a", anomaly_class="nok"), CAPTURED_AT + 50_000)

    top = account.cameras["top"]
    assert first is not None
    assert second is None
    assert (top.received["a"].anomaly_class, top.duplicates) == ("ok", 1)


def test_cameras_are_kept_apart() -> None:
    account = Account(["top", "side"])
    account.take_replay_line("top", sent_line("a"))
    account.take_result_line(result_line("a", camera_id="side"), CAPTURED_AT)

    assert account.num_missing == 1


@pytest.mark.parametrize(
    "line",
    [
        json.dumps({"topic": "t", "partition": 0, "offset": 3, "is_repeat": False, "error": "no msgpack"}),
        result_line("a", camera_id="unknown"),
    ],
)
def test_a_result_of_no_camera_is_kept_for_the_report(line: str) -> None:
    account = Account(["top"])

    assert account.take_result_line(line, CAPTURED_AT) is None
    assert account.unreadable == [line]


def test_the_summary_line_of_a_replay_is_no_frame() -> None:
    account = Account(["top"])
    account.take_replay_line("top", json.dumps({"event": "summary", "camera": "line1/top", "frames": 0}))
    assert account.num_sent == 0


def test_a_verdict_is_on_time_only_if_inspected_and_read_before_its_deadline() -> None:
    account = Account(["top"])
    deadline = CAPTURED_AT + 5_000_000
    in_time = account.take_result_line(result_line("a"), deadline)
    late = account.take_result_line(result_line("b"), deadline + 1)
    expired = account.take_result_line(
        result_line("c", status="expired", reason="late_before_score", anomaly_class="nok", anomaly_score=None),
        CAPTURED_AT + 1,
    )

    assert in_time is not None
    assert late is not None
    assert expired is not None
    assert [in_time.is_on_time, late.is_on_time, expired.is_on_time] == [True, False, False]


def test_latency_runs_from_capture_to_the_reader() -> None:
    account = Account(["top"])
    for index, latency_ms in enumerate([10, 20, 30]):
        account.take_result_line(result_line(str(index)), CAPTURED_AT + latency_ms * 1000)

    top = account.cameras["top"]
    assert (top.latency_ms(0), top.latency_ms(50), top.latency_ms(100)) == (10, 20, 30)
    assert Account(["top"]).cameras["top"].latency_ms(50) is None


def test_rates_are_those_between_the_first_and_the_last() -> None:
    account = Account(["top", "side"])
    for index, second in enumerate([0, 1, 2, 4]):
        at = CAPTURED_AT + second * 1_000_000
        camera = ("top", "side")[index % 2]
        account.take_replay_line(camera, sent_line(str(index), captured_at=at))
        account.take_result_line(result_line(str(index), camera_id=camera), at + second * 1_000_000)

    assert account.offered_fps == pytest.approx(3 / 4)
    assert account.throughput_fps == pytest.approx(3 / 8)
    assert Account(["top"]).offered_fps == 0


def test_verdicts_are_gathered_by_image_and_only_inspected_ones() -> None:
    account = Account(["top"])
    for result_id, file, status in (
        ("a", "1.jpg", "inspected"),
        ("b", "2.jpg", "expired"),
        ("c", "1.jpg", "inspected"),
    ):
        account.take_replay_line("top", sent_line(result_id, file=file))
        account.take_result_line(result_line(result_id, status=status), CAPTURED_AT)

    images = account.cameras["top"].by_image()

    assert [received.result_id for received in images[Path("1.jpg")]] == ["a", "c"]
    assert images[Path("2.jpg")] == []
    assert account.cameras["top"].statuses() == {"inspected": 2, "expired": 1}
    assert account.cameras["top"].count("ok") == 2
