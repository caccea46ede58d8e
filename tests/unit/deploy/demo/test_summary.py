from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.account import Account
from deploy.demo.cameras import DemoCamera
from deploy.demo.summary import Run, summarise, verdict_faults
from deploy.local.base import Broker
from tests.unit.deploy.demo.test_account import CAPTURED_AT, result_line, sent_line

BROKER = Broker("Tansu (embedded)", "127.0.0.1:1", supports_idempotence=False)
CAMERA = DemoCamera("top", "Top", Path("/data"), 0)
# 10 ok images with scores 0.10 to 0.19, 10 nok images with scores 0.60 to 0.69.
SCORES = {f"good/{n}.jpg": 0.1 + n / 100 for n in range(10)} | {f"crack/{n}.jpg": 0.6 + n / 100 for n in range(10)}


def run_of(scores: dict[str, float], *, cycles: int = 2, drift: float = 0.0, lost: int = 0, **changes: Any) -> Run:
    """A run in which each image is sent once a cycle, and the first `lost` frames get no verdict."""
    account, calibration = Account(["top"]), Account(["top"])
    number = 0
    for cycle in range(cycles):
        for file, score in scores.items():
            result_id, at = f"r{number}", CAPTURED_AT + number * 100_000
            account.take_replay_line("top", sent_line(result_id, file=f"/data/test/{file}", captured_at=at))
            number += 1
            if number <= lost:
                continue
            value = score * (1 + drift * cycle)
            verdict: dict[str, Any] = {
                "anomaly_score": value,
                "anomaly_class": "nok" if value >= 0.5 else "ok",
                "captured_at": at,
                "deadline_at": at + 5_000_000,
            }
            account.take_result_line(result_line(result_id, **verdict), at + 50_000)
    run = Run(BROKER, [CAMERA], account, calibration, {"top": {"n_train": 5}})
    return replace(run, **changes)


def test_a_good_run_passes_with_all_the_figures() -> None:
    summary = summarise(run_of(SCORES))

    assert summary["passed"], summary["faults"]
    assert {key: summary[key] for key in ("frames", "verdicts", "missing", "duplicates", "statuses", "broker")} == {
        "frames": 40,
        "verdicts": 40,
        "missing": 0,
        "duplicates": 0,
        "statuses": {"inspected": 40},
        "broker": "Tansu (embedded)",
    }
    assert summary["offered_fps"] == summary["throughput_fps"] == 10
    top = summary["cameras"]["top"]
    assert {key: top[key] for key in ("auroc", "false_rejects", "missed", "p50_ms", "p99_ms", "on_time")} == {
        "auroc": 1.0,
        "false_rejects": 0,
        "missed": 0,
        "p50_ms": 50.0,
        "p99_ms": 50.0,
        "on_time": 1.0,
    }
    json.dumps(summary)


def test_each_image_counts_once_with_its_first_verdict() -> None:
    # In the second cycle an ok image would be rejected, and a defect that is missed in the first would be found.
    scores = SCORES | {"good/0.jpg": 0.45, "crack/0.jpg": 0.48}
    top = summarise(run_of(scores, cycles=3, drift=0.1))["cameras"]["top"]

    assert (top["images"], top["images_ok"], top["images_nok"]) == (20, 10, 10)
    assert (top["false_rejects"], top["missed"], top["recall"]) == (0, 1, 0.9)
    assert top["score_spread"] == pytest.approx(0.2 / 1.2)


def test_a_missing_verdict_fails_the_run_and_names_the_frame() -> None:
    summary = summarise(run_of(SCORES, lost=1))

    assert (summary["missing"], summary["verdicts"], summary["passed"]) == (1, 39, False)
    assert summary["faults"] == ["1 of 40 frames have no verdict, for example part"]


def test_a_missing_verdict_is_not_on_time() -> None:
    top = summarise(run_of(SCORES, lost=4))["cameras"]["top"]
    assert (top["on_time"], top["late"]) == (0.9, 4)


def test_a_missing_verdict_of_the_calibration_fails_the_run_too() -> None:
    calibration = Account(["top"])
    calibration.take_replay_line("top", sent_line("a"))

    assert summarise(run_of(SCORES, calibration=calibration))["faults"] == [
        "1 of 1 frames of the calibration have no verdict, for example part"
    ]


def test_an_image_that_was_never_inspected_fails_the_run() -> None:
    run = run_of(SCORES, cycles=1, lost=1)
    expired = result_line(
        "r0", status="expired", reason="late_before_score", anomaly_class="nok", anomaly_score=None
    )  # fmt: skip
    run.account.take_result_line(expired, CAPTURED_AT)

    summary = summarise(run)

    assert summary["missing"] == 0
    assert summary["statuses"] == {"inspected": 19, "expired": 1}
    assert summary["faults"] == ["Top: 1 of 20 images were never inspected"]


def test_a_repeated_result_is_told_and_no_fault() -> None:
    run = run_of(SCORES)
    run.account.take_result_line(result_line("r0"), CAPTURED_AT)

    summary = summarise(run)

    assert (summary["duplicates"], summary["passed"]) == (1, True)


def test_a_result_that_belongs_to_no_camera_fails_the_run() -> None:
    run = run_of(SCORES)
    run.account.take_result_line(result_line("x", camera_id="unknown"), CAPTURED_AT)
    assert not summarise(run)["passed"]


def test_a_fault_on_the_way_fails_the_run() -> None:
    summary = summarise(run_of(SCORES, faults=["inspector ended with status 1"]))
    assert (summary["passed"], summary["faults"]) == (False, ["inspector ended with status 1"])


def test_the_difference_from_scores_without_a_broker_is_told() -> None:
    offline = {Path(f"/data/test/{file}"): score for file, score in SCORES.items()}
    offline[Path("/data/test/good/0.jpg")] *= 1.25

    top = summarise(run_of(SCORES, offline_scores=offline))["cameras"]["top"]

    assert top["offline_difference"] == pytest.approx(0.2)


def figures(**changes: Any) -> dict[str, Any]:
    return {"images": 20, "images_not_inspected": 0, "auroc": 0.98, "recall": 0.9} | changes


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({}, None),
        ({"auroc": 0.9799}, "Top: image AUROC is 0.9799, below 0.98"),
        ({"auroc": None}, "Top: image AUROC is not known, below 0.98"),
        ({"recall": 0.899}, "Top: 0.8990 of the defects are found at the model's threshold, below 0.9"),
        ({"recall": None}, "Top: not known of the defects are found at the model's threshold, below 0.9"),
        ({"images_not_inspected": 2}, "Top: 2 of 20 images were never inspected"),
    ],
)
def test_bad_verdicts_are_told_in_a_sentence(changes: dict[str, Any], fault: str | None) -> None:
    assert verdict_faults("Top", figures(**changes)) == ([] if fault is None else [fault])
