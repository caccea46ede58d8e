"""Trials in the shadow: begun when they can be, tried again where that may help, ended without touching what judges."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.bundles.errors import BundleStoreError
from schemas import Candidate
from tests.releases import bundle, digest_of, release
from tests.unit.inspector.swap.trial_bench import CAMERA, Desk
from tests.virtual_time import run_virtually


def test_a_store_that_does_not_answer_is_asked_again_and_told_of_once(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        desk.error = BundleStoreError("unreachable", "the store does not answer")
        await desk.release(1, "b")
        await desk.for_seconds(20)
        assert desk.loads == [0, 5, 15], "the pause doubles"
        assert [action for action, _, _ in desk.told.heard] == ["refused"]
        assert (desk.tried(), desk.refused("unreachable")) == (None, 3)
        desk.error = None
        await desk.for_seconds(20)
        assert desk.tried() == "b"
        assert desk.told.heard[-1] == ("begun", 1, "shadow: it scores beside the model that judges")

    run_virtually(scene())


def test_what_is_wrong_for_good_is_not_tried_again_and_the_release_judges_all_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        desk.error = BundleStoreError("digest", "it is another")
        await desk.release(1, "b")
        await desk.for_seconds(100)
        assert (len(desk.loads), desk.switch.number(CAMERA)) == (1, 1)

    run_virtually(scene())


def test_a_later_release_takes_an_earlier_trial_back_before_it_has_begun(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.release(2, None)
        await desk.for_seconds(3)
        assert (desk.loads, desk.tried()) == ([], None)

    run_virtually(scene())


def test_a_trial_that_cannot_go_on_ends_alone_and_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        judge = desk.registry.route("line", "a")
        desk.trials.end(route, "it is too slow")
        assert desk.tried() is None
        assert desk.registry.route("line", "a") is judge
        assert desk.told.heard[-1] == ("ended", 1, "shadow: the trial alone, the release judges: it is too slow")
        assert desk.refused("shadow") == 1
        await desk.for_seconds(100)
        assert desk.tried() is None, "not before the next release"

    run_virtually(scene())
    assert "the one that judges goes on" in caplog.text


def test_what_a_trial_that_was_replaced_fails_at_does_not_end_the_next_one(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        old = desk.registry.shadow(CAMERA)
        assert old is not None
        await desk.release(2, "c")
        await desk.for_seconds(1)
        desk.trials.end(old, "its fifth frame failed")
        assert desk.tried() == "c"
        assert (desk.told.heard[-1][:2], desk.refused("shadow")) == (("begun", 2), 0)

    run_virtually(scene())


def test_a_trial_that_a_release_does_not_name_is_gone_before_that_ones_models_are_loaded(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert desk.tried() == "b"
        await desk.switch.apply(release("a", 2, "c"))
        assert desk.tried_meanwhile == [None, None]
        assert desk.registry.routes[0].reference.digest == digest_of("c")

    run_virtually(scene())


def test_a_frame_of_a_trial_may_take_a_quarter_of_the_shortest_budget_and_what_judges_is_not_timed(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        tried = Candidate(bundle=bundle("c"), role="shadow")
        made = release("a", 1, "b", candidate=tried, budget_us=400_000)
        await desk.switch.apply(made)
        await desk.switch.try_out(made)
        assert desk.asked == [("b", None, None), ("c", None, 0.1)]

    run_virtually(scene())


def test_a_model_on_trial_that_is_to_judge_is_not_loaded_again_but_warmed_up_for_batches_once(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        await desk.switch.apply(release("a", 2, "b"))
        assert desk.registry.routes[0].model is route.model
        assert desk.tried() is None
        await desk.switch.apply(release("a", 3, "b", budget_us=7))
        assert [(letter, tried) for letter, tried, _ in desk.asked] == [("b", None), ("b", "b")]

    run_virtually(scene())


def test_a_trial_that_ended_for_a_release_which_is_no_good_begins_again(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        desk.error = BundleStoreError("digest", "it is another")
        with pytest.raises(BundleStoreError):
            await desk.switch.apply(release("a", 2, "c"))
        assert desk.tried() is None
        desk.error = None
        desk.trials.resume(CAMERA)
        await desk.for_seconds(1)
        assert desk.tried() == "b"

    run_virtually(scene())


def test_a_trial_that_was_given_up_does_not_begin_again_with_a_release_that_is_no_good(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert desk.trials.end_all("the line lacks memory")
        assert not desk.trials.end_all("the line lacks memory"), "there is none any more"
        assert desk.told.heard[-1] == (
            "ended",
            1,
            "shadow: the trial alone, the release judges: the line lacks memory",
        )
        desk.trials.resume(CAMERA)
        await desk.for_seconds(1)
        assert desk.tried() is None

    run_virtually(scene())


def test_a_model_that_is_on_trial_goes_on_through_a_release_that_keeps_it(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        await desk.release(2, "b")
        assert desk.registry.shadow(CAMERA) is route, "not for a moment without it"
        await desk.for_seconds(1)
        assert (desk.registry.shadow(CAMERA), len(desk.loads)) == (route, 1)
        await desk.release(3, "c")
        assert desk.tried() is None
        await desk.for_seconds(1)
        assert desk.tried() == "c"
        assert digest_of("c") in {model.digest for model in desk.registry.models}

    run_virtually(scene())
