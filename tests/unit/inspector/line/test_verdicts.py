"""Which parts had the right to pass, told by the results alone."""

from __future__ import annotations

from inspector.line.conveyor import Part
from inspector.line.verdicts import Verdicts
from tests.messages import message

PRODUCED_AT = 1_700_000_000_042_000


def passed(part_id: str, acted_at: int = PRODUCED_AT + 1) -> Part:
    return Part(part_id, 0.0, 1.0, PRODUCED_AT - 10, "PASS", acted_at)


def test_a_part_passes_rightly_only_after_an_ok_in_time_of_every_camera() -> None:
    verdicts = Verdicts("L1", {"C1", "C2"})
    nok = {"anomaly_score": 0.75, "anomaly_class": "nok", "anomaly_class_id": 1}
    for camera in ("C1", "C2"):
        verdicts.take(message(camera_id=camera, part_id="both"))
    verdicts.take(message(part_id="one"))
    verdicts.take(message(camera_id="C2", part_id="one", **nok))
    for camera in ("C1", "C2"):
        verdicts.take(message(camera_id=camera, part_id="elsewhere", line_id="L2"))
        verdicts.take(message(camera_id=camera, part_id="late", deadline_at=PRODUCED_AT - 1))
    wrong = verdicts.without([passed("both"), passed("one"), passed("elsewhere"), passed("late"), passed("unseen")])
    assert wrong == ["one", "elsewhere", "late", "unseen"]
    assert verdicts.without([passed("both", PRODUCED_AT - 1)]) == ["both"], "its PASS came before the verdict"
