from __future__ import annotations

from typing import Any

import pytest

from inspector.archive.candidate import Worth, refusal_of, row_of, worth_of
from inspector.archive.picture import picture_file
from schemas import image_digest
from schemas.archive.layout import parse_archive_name
from tests.archives import DAY_US, NOON_US, candidate_of, frame_of, result_of


@pytest.mark.parametrize(
    ("score", "worth"),
    [(0.2, "ok"), (0.449, "ok"), (0.451, "near"), (0.499, "near"), (0.5, "nok"), (None, "uninspected")],
)
def test_what_a_picture_is_worth(score: float | None, worth: Worth) -> None:
    assert worth_of(result_of(1, score), near=0.1) == worth


@pytest.mark.parametrize(
    ("changes", "refused"),
    [
        ({}, None),
        ({"is_simulated": True}, "simulated"),
        ({"produced_at": NOON_US + 91 * DAY_US}, "odd_time"),
    ],
)
def test_what_has_no_place(changes: dict[str, Any], refused: str | None) -> None:
    result = result_of(1, **changes)
    assert refusal_of(result, accept_simulated=False, max_age_days=90) == refused
    assert refusal_of(result_of(1, is_simulated=True), accept_simulated=True, max_age_days=90) is None


def test_a_picture_of_the_far_future_opens_no_folder_of_its_day() -> None:
    result = result_of(1, None, produced_at=NOON_US - 2 * DAY_US)
    assert refusal_of(result, accept_simulated=False, max_age_days=90) == "odd_time"


def test_the_row_says_what_the_result_said_and_which_bytes_the_camera_sent() -> None:
    candidate = candidate_of(7, 0.9)
    frame = frame_of(candidate.message)
    row = row_of(candidate, frame, frame.image, picture_file(frame, frame.image))
    assert row.file == f"L1/C1/2026-03-01/nok/{NOON_US + 7}_7_part-7.png"
    assert row.image_digest == row.file_digest == image_digest(frame.image)
    assert (row.anomaly_score, row.classification_threshold, row.model_name) == (0.9, 0.5, "cookie")
    assert (row.is_sample, row.is_near, row.source_offset) == (False, False, 7)
    from pathlib import PurePosixPath

    archived = parse_archive_name(PurePosixPath(row.file))
    assert archived is not None
    assert archived.result_id == row.result_id
