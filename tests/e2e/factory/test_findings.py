from __future__ import annotations

from typing import Any

import msgpack
import pytest

from schemas import part_share
from tests.chaos.checker import Findings, Record
from tests.e2e.factory.book import Period
from tests.e2e.factory.findings import (
    Evening,
    Verdict,
    camera_figures,
    canary_figures,
    spans_of,
    verdicts_of,
)

DAY_S = 1_772_366_400.0
CAMERA = "line1/aliens-right"


def record(part_id: str, at_s: float, *, took_s: float = 0.1, result_id: str = "", **changes: Any) -> Record:
    """A result on a frame that was captured `at_s` after the day's beginning."""
    body = {
        "result_id": result_id or part_id,
        "line_id": "line1",
        "camera_id": "aliens-right",
        "part_id": part_id,
        "status": "inspected",
        "anomaly_class": "ok",
        "captured_at": round((DAY_S + at_s) * 1e6),
        "deadline_at": round((DAY_S + at_s + 5) * 1e6),
        "model": {"digest": "first"},
        **changes,
    }
    arrived_ms = round((DAY_S + at_s + took_s) * 1000)
    return Record("results", 0, round(at_s * 1000), arrived_ms, msgpack.packb(body), key=CAMERA.encode())


def verdict(part_id: str, at_s: float = 10.0, **changes: Any) -> Verdict:
    return verdicts_of([record(part_id, at_s, **changes)])[0]


def test_the_first_result_of_an_id_is_the_verdict() -> None:
    found = verdicts_of(
        [
            record("0001_ok-1", 2, took_s=3, result_id="a", anomaly_class="nok"),
            record("0001_ok-1", 2, result_id="a"),
            record("0002_nok-2", 1),
        ]
    )
    assert [(one.part_id, one.anomaly_class) for one in found] == [("0002_nok-2", "ok"), ("0001_ok-1", "ok")]
    assert found[1].latency_ms == pytest.approx(100)


def test_a_verdict_after_its_deadline_and_one_without_a_look_are_not_in_time() -> None:
    assert verdict("0001_ok-1", took_s=4.9).is_in_time
    assert not verdict("0001_ok-1", took_s=5.1).is_in_time
    assert not verdict("0001_ok-1", status="expired").is_in_time


def test_a_camera_is_counted_by_what_its_parts_are() -> None:
    found = camera_figures(
        [
            verdict("0001_ok-1"),
            verdict("0002_ok-2", anomaly_class="nok"),
            verdict("0003_nok-3", anomaly_class="nok"),
            verdict("0004_nok-4"),
            verdict("0005_nok-5", anomaly_class="nok", status="expired", took_s=9),
            verdict("garbled-1", anomaly_class="nok", status="undecodable"),
        ]
    )
    assert (found.frames, found.ok, found.nok, found.not_inspected) == (6, 2, 2, 2)
    assert (found.good, found.good_rejected, found.bad, found.bad_passed) == (2, 1, 2, 1)
    assert found.p99_ms == pytest.approx(100), "what was not looked at tells nothing of pace"


def test_a_canary_strays_where_a_part_is_judged_by_the_model_that_is_not_its_own() -> None:
    parts = [f"{number:04d}_ok-{number}" for number in range(200)]
    period = Period("canary", DAY_S, DAY_S + 60, "change")

    def judged(part: str, *, wrong: bool = False, at_s: float = 10.0) -> Verdict:
        is_tried = (part_share(part) < 0.25) != wrong
        return verdict(part, at_s, model={"digest": "second" if is_tried else "first"})

    def figures(*verdicts: Verdict) -> tuple[int, int, int]:
        return canary_figures(verdicts, CAMERA, period, percent=25, candidate="second")

    shared = sum(part_share(part) < 0.25 for part in parts)
    assert figures(*map(judged, parts)) == (200, shared, 0)
    assert 30 < shared < 70
    assert figures(*map(judged, parts[1:]), judged(parts[0], wrong=True))[2] == 1
    assert figures(judged(parts[0], wrong=True, at_s=60.5)) == (0, 0, 0), "outside the trial"
    assert canary_figures([judged(parts[0])], "line1/other", period, percent=25, candidate="second") == (0, 0, 0)


def test_gaps_are_those_of_the_period_parted_by_whether_an_exchange_lies_in_them() -> None:
    results = [record(f"000{number}_ok-{number}", at) for number, at in enumerate((1, 2, 4, 90))]
    told = {"action": "applied", "line_id": "line1", "camera_id": "aliens-right"}
    evening = Evening(Findings(), [], results, [{**told, "at": (DAY_S + at) * 1e6} for at in (3, 50)])
    assert evening.gaps_ms(Period("shift", DAY_S, DAY_S + 10, "calm")) == ([2000.0], [1000.0])


def test_times_are_spans_until_nothing_was_seen_for_longer() -> None:
    assert spans_of([7, 1, 2, 3, 8], apart_s=2) == [(1, 3), (7, 8)]
    assert spans_of([], apart_s=2) == []
