"""The checker finds what it is there to find: hand-made records that break each rule, and good ones that break none."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.chaos import checker
from tests.chaos.checker import Commit, Evidence, FrameName, Kind, Record, actuate, judge, rewound

CAPTURED = 1_700_000_000_000_000
BUDGET = 1_000_000
ROOT = Path(__file__).parents[2]


def identity(seq: int, camera: str = "a") -> dict[str, Any]:
    names = {"line_id": "line", "camera_id": camera, "part_id": f"{camera}-{seq}"}
    return names | {"seq": seq, "captured_at": CAPTURED + seq}


def frame(offset: int, fields: Mapping[str, Any] | None = None, *, partition: int = 0, **changes: Any) -> Record:
    fields = identity(offset) if fields is None else fields
    record = Record("frames", partition, offset, 0, msgpack.packb({"v": 1, **fields, "image": b"png"}))
    return record._replace(**changes)


def result(offset: int, seq: int, *, camera: str = "a", arrived_us: int | None = None, **changes: Any) -> Record:
    fields = identity(seq, camera)
    body = {
        **fields,
        "result_id": checker.frame_result_id(tuple(fields.values())),
        "source": {"topic": "frames", "partition": 0, "offset": seq},
        "status": "inspected",
        "reason": "none",
        "anomaly_score": 0.25,
        "anomaly_class": "ok",
        "anomaly_class_id": 0,
        "classification_threshold": 0.5,
        "deadline_at": fields["captured_at"] + BUDGET,
        "produced_at": fields["captured_at"] + 1000,
        "model": {"name": "m", "version": "1", "digest": "d"},
    } | changes
    at_us = CAPTURED + 2000 + offset * 1000 if arrived_us is None else arrived_us
    return Record("results", 0, offset, at_us // 1000, msgpack.packb(body))


NOK: dict[str, Any] = {"anomaly_class": "nok", "anomaly_class_id": 1, "anomaly_score": 0.75}
REFUSED: dict[str, Any] = NOK | {"status": "undecodable", "reason": "corrupt", "anomaly_score": None}
KEY: dict[FrameName, Kind] = {FrameName("line", "a", seq): "ok" for seq in range(9)}


def found(*results: Record, **evidence: Any) -> dict[str, list[str]]:
    given: dict[str, Any] = {"frames": [frame(0), frame(1)], "results": results, "key": KEY}
    return judge(Evidence(**(given | evidence))).broken()


def test_a_good_run_breaks_no_rule() -> None:
    findings = judge(Evidence([frame(0), frame(1)], [result(0, 0), result(1, 1), result(2, 0)], key=KEY))
    assert findings.broken() == {}
    assert (findings.frames, findings.verdicts, findings.duplicates, len(findings.acts)) == (2, 2, 1, 2)
    assert all(act.passed for act in findings.acts)


def test_a_frame_without_a_result_is_missing() -> None:
    assert list(found(result(0, 0))) == ["missing"]


def test_a_result_about_no_frame_is_a_stranger() -> None:
    assert list(found(result(0, 0), result(1, 1), result(2, 5))) == ["strangers"]


def test_a_record_that_is_no_result_is_a_stranger() -> None:
    junk = Record("results", 0, 7, 0, b"\xc1")
    assert list(found(result(0, 0), result(1, 1), junk)) == ["strangers"]


def test_a_repeat_under_another_id_is_not_recognised_and_acts_twice() -> None:
    broken = found(result(0, 0), result(1, 1), result(2, 1, result_id="0" * 32))
    assert {"unrecognised", "actuated_twice"} <= set(broken)


def test_first_results_out_of_order_are_found() -> None:
    assert list(found(result(0, 1), result(1, 0))) == ["reordered"]


def test_a_repeat_after_later_frames_is_no_disorder() -> None:
    assert found(result(0, 0), result(1, 1), result(2, 0)) == {}


def test_cameras_do_not_wait_for_each_other() -> None:
    frames = [frame(0), frame(1, identity(0, "b"))]
    assert judge(Evidence(frames, [result(0, 0, camera="b"), result(1, 0)])).broken() == {}


def test_two_inspections_that_disagree_are_in_conflict() -> None:
    assert list(found(result(0, 0), result(1, 1), result(2, 1, **NOK))) == ["conflicting"]


def test_a_repeat_that_comes_too_late_is_no_conflict() -> None:
    late: dict[str, Any] = NOK | {"status": "expired", "reason": "late_before_decode", "anomaly_score": None}
    assert found(result(0, 0), result(1, 1), result(2, 1, **late)) == {}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "failed"},
        {"anomaly_class": "nok"},
        {"model": None},
        {"anomaly_score": None},
        {"anomaly_score": float("nan")},
        {"anomaly_score": 0.5},
        {"produced_at": CAPTURED + 1 + BUDGET + 1},
        {"produced_at": CAPTURED - 1},
        {"deadline_at": None},
    ],
    ids=lambda changes: str(changes)[:40],
)
def test_an_ok_that_must_not_pass_is_a_false_pass(changes: dict[str, Any]) -> None:
    broken = found(result(0, 0), result(1, 1, **changes))
    assert set(broken) - {"unlettered"} == {"false_pass"}


@pytest.mark.parametrize("kind", ["nok", "hostile"])
def test_an_ok_for_a_frame_that_is_not_is_a_false_pass(kind: Kind) -> None:
    assert list(found(result(0, 0), result(1, 1), key=KEY | {FrameName("line", "a", 1): kind})) == ["false_pass"]


def test_an_ok_about_a_frame_that_no_key_names_is_a_false_pass() -> None:
    stranger = identity(5, "zz")
    records = [frame(0), frame(1), frame(2, stranger)]
    assert set(found(result(0, 0), result(1, 1), result(2, 5, camera="zz"), frames=records)) == {"false_pass"}


def test_an_ok_that_gives_itself_more_time_than_its_frame_has_is_a_false_pass() -> None:
    own = frame(1, identity(1) | {"budget_us": BUDGET})
    good, late = result(0, 0), result(1, 1, deadline_at=CAPTURED + 1 + 3 * BUDGET, produced_at=CAPTURED + 2 * BUDGET)
    for frames, default_us, broken in (([frame(0), own], 9 * BUDGET, True), ([frame(0), frame(1)], 9 * BUDGET, False)):
        rules = found(good, late, frames=frames, default_budget_us=default_us)
        assert ("false_pass" in rules) is broken


def test_an_ok_frame_called_nok_is_wrong_and_breaks_no_rule() -> None:
    findings = judge(Evidence([frame(0)], [result(0, 0, **NOK)], key=KEY))
    assert len(findings.wrong) == 1
    assert findings.broken() == {}


def test_what_was_not_inspected_has_a_dead_letter() -> None:
    refused = result(1, 1, **REFUSED)
    letter = refused._replace(topic="deadletters")
    assert list(found(result(0, 0), refused)) == ["unlettered"]
    assert found(result(0, 0), refused, deadletters=[letter]) == {}


def test_commits_that_go_back_are_found_and_forgotten_ones_are_not_held_against_anybody() -> None:
    forwards = [Commit(1, 0, 5), Commit(2, 1, 3), Commit(3, 0, 5), Commit(4, 0, 9)]
    assert rewound(forwards) == []
    assert len(rewound([*forwards, Commit(5, 0, 8), Commit(6, 0, 9), Commit(7, 1, 2)])) == 2
    assert rewound([*forwards, Commit(5, 0, -1), Commit(6, 0, 1)]) == []
    assert list(found(result(0, 0), result(1, 1), commits=[Commit(1, 0, 2), Commit(2, 0, 1)])) == ["rewound"]


def test_a_garbled_frame_is_known_by_its_headers_and_an_unnamed_one_by_its_place() -> None:
    headers = tuple((name, str(value).encode()) for name, value in identity(3).items())
    garbled = frame(0, value=b"\xc1", headers=headers)
    assert checker.acceptable_ids(garbled) == [checker.frame_result_id(tuple(identity(3).values()))]
    assert checker.acceptable_ids(garbled._replace(headers=headers[:4])) == [checker.record_result_id(("frames", 0, 0))]
    twice = (*headers, ("part_id", b"another"))
    assert checker.frame_identities(garbled._replace(headers=twice)) == []


def test_the_actuator_passes_only_what_arrives_in_time() -> None:
    (late,) = judge(Evidence([frame(0)], [result(0, 0, arrived_us=CAPTURED + BUDGET + 2000)])).acts
    assert not late.passed
    assert actuate([]) == []


def test_result_ids_are_those_of_the_published_vectors() -> None:
    vectors = json.loads((ROOT / "schemas/vectors/result_ids.json").read_text(encoding="utf-8"))
    assert vectors
    for vector in vectors:
        assert checker.digest_of_fields(vector["of"], *map(str, vector["fields"])) == vector["result_id"]


def test_the_checker_knows_nothing_of_the_service() -> None:
    """Neither it nor the reader loads anything of ours, directly or not."""
    program = "import sys, tests.chaos.checker, tests.chaos.reading; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "aiokafka" in loaded
    ours = {name for name in loaded if name.partition(".")[0] in {"inspector", "schemas", "trainer", "deploy", "tests"}}
    assert ours == {"tests", "tests.chaos", "tests.chaos.checker", "tests.chaos.reading"}
