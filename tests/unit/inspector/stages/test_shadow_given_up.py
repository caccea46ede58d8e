"""When a trial is given up: for frames that cannot be scored, or take too long, and not for what is wrong with the pictures."""

from __future__ import annotations

import pytest

from inspector.inflight.frame import Refusal
from inspector.stages.shadow import MOST_FAULTS, MOST_UNSENT
from schemas import Reason
from tests.unit.inspector.stages.shadow_bench import Scene


def test_a_model_that_fails_more_often_than_not_is_given_up_and_one_that_fails_now_and_then_is_not() -> None:
    scene = Scene()
    failed = Refusal("failed", "internal")
    for seq in range(2 * MOST_FAULTS):
        scene.offer(seq)
        scene.go(failed if seq % 2 else None)
    assert (scene.ended, scene.count("failed")) == ([], MOST_FAULTS)
    for seq in range(MOST_FAULTS - 1):
        assert scene.ended == [], seq
        scene.offer(100, 101)
        scene.go(failed)
    assert scene.ended == ["it cannot score the frames of this camera: internal"]
    assert (len(scene.stage), scene.count("shed")) == (0, MOST_FAULTS - 1)


def test_a_score_now_and_then_does_not_hide_that_a_model_fails() -> None:
    scene = Scene()
    frames = 0
    while not scene.ended and frames < MOST_UNSENT:
        scene.offer(frames)
        scene.go(None if frames % 4 == 3 else Refusal("failed", "internal"))
        frames += 1
    assert frames == MOST_FAULTS + 2, "the fourth was scored, and made up for one"


@pytest.mark.parametrize("reason", ["corrupt", "digest_mismatch", "too_large"])
def test_pictures_that_cannot_be_decoded_are_shed_and_count_against_no_model(reason: Reason) -> None:
    scene = Scene()
    scene.undecodable = Refusal("undecodable", reason)
    for seq in range(2 * MOST_FAULTS):
        scene.offer(seq)
        scene.go()
    assert (scene.ended, scene.encoded) == ([], [])
    assert (scene.count("shed"), scene.count("failed"), scene.stage.used_bytes) == (2 * MOST_FAULTS, 0, 0)
    scene.undecodable = None
    scene.offer(100)
    scene.go()
    assert scene.count("scored") == 1, "the next picture has its turn"


def test_pictures_whose_geometry_does_not_suit_the_model_count_as_failed_and_end_the_trial() -> None:
    scene = Scene()
    scene.undecodable = Refusal("failed", "geometry")
    for seq in range(MOST_FAULTS):
        scene.offer(seq)
        scene.go()
    assert scene.ended == ["it cannot score the frames of this camera: geometry"]
    assert ([reason for _, reason in scene.encoded], scene.count("failed")) == (["geometry"] * MOST_FAULTS, MOST_FAULTS)


def test_want_of_memory_ends_it_at_once() -> None:
    scene = Scene()
    scene.offer(1)
    scene.go(Refusal("failed", "out_of_memory"))
    assert scene.ended == ["it cannot score the frames of this camera: out_of_memory"]


def test_a_model_that_could_cost_the_line_a_deadline_is_given_up() -> None:
    scene = Scene(budget_s=1.0)
    for seq in range(MOST_FAULTS):
        assert scene.ended == []
        scene.offer(seq)
        scene.go(took_s=0.3)
    assert len(scene.ended) == 1
    assert "takes it 0.300 s, more than a quarter of the shortest budget" in scene.ended[0]


def test_a_model_that_is_slow_now_and_then_is_not_given_up() -> None:
    scene = Scene(budget_s=1.0)
    for seq in range(3 * MOST_FAULTS):
        scene.offer(seq)
        scene.go(took_s=0.3 if seq % 2 else 0.2)
    assert scene.ended == []


def test_a_fast_frame_now_and_then_does_not_hide_that_a_model_is_slow() -> None:
    scene = Scene(budget_s=1.0)
    frames = 0
    while not scene.ended and frames < MOST_UNSENT:
        scene.offer(frames)
        scene.go(took_s=0.2 if frames % 5 == 4 else 0.9)
        frames += 1
    assert frames == MOST_FAULTS + 2, "the fifth was fast, and made up for one"


def test_the_first_frame_that_takes_longer_than_the_shortest_budget_ends_a_trial() -> None:
    scene = Scene(budget_s=1.0)
    scene.offer(1, 2)
    scene.go(took_s=10.0)
    assert len(scene.ended) == 1
    assert "takes it 10.000 s, more than the whole of the shortest budget" in scene.ended[0]
    assert (len(scene.stage), scene.count("shed")) == (0, 1), "what waits is not scored any more"
