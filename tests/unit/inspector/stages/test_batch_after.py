"""What verdicts take after their score is each camera's own: a slow results topic costs no other its frames, and heals."""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass

import pytest

from inspector.stages.batch import TRY_S, Batcher

FRAME_S, BUDGET_S, DEVICE_S = 1 / 30, 0.7, 0.02


@dataclass(frozen=True, eq=False)
class Waiter:
    camera: str
    deadline_s: float
    model: str = "m"


class Line:
    """Cameras with 30 frames a second on a device that has time for all; acknowledgements take as long as `ack_s` says."""

    def __init__(self, **ack_s: float) -> None:
        self.batcher: Batcher[Waiter] = Batcher(max_size=8)
        self.ack_s = ack_s
        self.now_s = 0.0
        self._due: list[tuple[float, str, float]] = []

    def run(self, seconds: float) -> tuple[Counter[str], Counter[str]]:
        """Return how many frames of each camera were scored in that time, and how many given up."""
        scored: Counter[str] = Counter()
        given_up: Counter[str] = Counter()
        for _ in range(round(seconds / FRAME_S)):
            while self._due and self._due[0][0] <= self.now_s:
                _, camera, took_s = heapq.heappop(self._due)
                self.batcher.observe_after(camera, took_s)
            for number, camera in enumerate(self.ack_s):  # the last has most time: it is tried whatever is expected
                self.batcher.push(Waiter(camera, self.now_s + BUDGET_S + number / 100), self.now_s)
            pull = self.batcher.pull(self.now_s)
            scored.update(frame.camera for frame in pull.batch)
            given_up.update(frame.camera for frame in pull.expired)
            self.batcher.observe("m", len(pull.batch), DEVICE_S)
            for frame in pull.batch:
                ack_s = self.ack_s[frame.camera]
                heapq.heappush(self._due, (self.now_s + DEVICE_S + ack_s, frame.camera, ack_s))
            self.now_s += FRAME_S
        return scored, given_up


def test_a_camera_whose_verdicts_are_slow_takes_no_frame_from_another() -> None:
    line = Line(healthy=0.01, slow=0.9, other=0.01)
    scored, given_up = line.run(30)
    assert given_up["healthy"] == given_up["other"] == 0
    assert min(scored["healthy"], scored["other"]) > 890, "the last ones may still wait"
    assert given_up["slow"] > 700, "scored in vain"


def test_a_camera_whose_verdicts_are_quick_again_is_scored_again_though_another_always_has_more_time() -> None:
    line = Line(slow=0.9, other=0.01)
    line.run(30)
    line.ack_s["slow"] = 0.01
    line.run(20 * TRY_S)
    scored, given_up = line.run(10)
    assert (scored["slow"], given_up["slow"]) == (300, 0)


def test_an_outage_that_is_over_costs_its_own_camera_a_few_frames_and_the_others_none() -> None:
    line = Line(slow=0.01, other=0.01)
    line.run(10)
    for _ in range(50):
        line.batcher.observe_after("slow", 10.0)
    scored, given_up = line.run(10)
    assert given_up["other"] == 0
    assert scored["slow"] > 250


def test_the_way_after_the_score_is_gone_once_whatever_waits_before() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=1)
    batcher.observe("m", 1, 1.0)
    batcher.observe_after("a", 10.0)
    batcher.push(Waiter("b", 100.0), 0.0)
    assert batcher.needed_s(Waiter("a", 100.0), 1) == pytest.approx(11.0)
    assert batcher.wait_s(Waiter("a", 100.0)) == pytest.approx(3 * 1.0 + 10.0)
    assert batcher.wait_s(Waiter("b", 100.0)) == pytest.approx(3 * 1.0)


def drained(batcher: Batcher[Waiter], now_s: float) -> tuple[list[Waiter], list[Waiter]]:
    """Pull until nothing waits; return what is scored and what is given up."""
    batch: list[Waiter] = []
    expired: list[Waiter] = []
    while len(batcher):
        pull = batcher.pull(now_s)
        batch += pull.batch
        expired += pull.expired
    return batch, expired


def test_a_camera_whose_verdicts_are_slow_has_one_frame_scored_at_once_and_then_one_in_each_quarter_of_a_second() -> (
    None
):
    """Another camera's frame has more time, and would be the only one that is tried."""
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    batcher.observe("m", 1, 0.02)
    batcher.observe_after("slow", 10.0)
    scored = {}
    for now_s in (0.0, TRY_S / 2, TRY_S):
        batcher.push(Waiter("slow", now_s + 1.0), now_s)
        batcher.push(Waiter("other", now_s + 2.0), now_s)
        scored[now_s] = [frame.camera for frame in drained(batcher, now_s)[0]]
    assert {now_s: sorted(cameras) for now_s, cameras in scored.items()} == {
        0.0: ["other", "slow"],
        TRY_S / 2: ["other"],
        TRY_S: ["other", "slow"],
    }


def test_of_a_camera_whose_verdicts_are_slow_only_the_newest_frame_is_tried() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    batcher.observe("m", 1, 0.02)
    batcher.observe_after("slow", 10.0)
    older, newest, other = Waiter("slow", 1.0), Waiter("slow", 1.5), Waiter("other", 2.0)
    for frame in (older, newest, other):
        batcher.push(frame, 0.0)
    batch, expired = drained(batcher, 0.0)
    assert expired == [older]
    assert set(batch) == {newest, other}


def test_a_frame_that_is_tried_has_time_for_the_device_all_the_same() -> None:
    batcher: Batcher[Waiter] = Batcher(max_size=8)
    batcher.observe("m", 1, 0.5)
    batcher.observe_after("slow", 10.0)
    slow, other = Waiter("slow", 0.4), Waiter("other", 2.0)
    batcher.push(slow, 0.0)
    batcher.push(other, 0.0)
    assert (batcher.pull(0.0).batch, len(batcher)) == ([other], 0)
