from __future__ import annotations

import pytest

from inspector.releases.edit import rolled_back, with_active, with_candidate, with_changes
from inspector.releases.errors import ReleaseError
from schemas import CameraModels, Candidate, LiveChanges
from tests.releases import bundle

NOTHING = CameraModels(active=None)
SOME = LiveChanges(classification_threshold=0.25, budget_us=5)


def canary(letter: str) -> Candidate:
    return Candidate(bundle=bundle(letter), role="canary", percent=5.0)


def test_a_release_is_rolled_back_to_what_judged_before() -> None:
    first = with_active(NOTHING, bundle("a"), LiveChanges())
    second = with_active(first, bundle("b"), LiveChanges())
    assert (second.active, second.previous) == (bundle("b"), bundle("a"))
    back = rolled_back(second)
    assert (back.active, back.previous) == (bundle("a"), bundle("b"))
    assert rolled_back(back).active == bundle("b"), "a rollback can be taken back"
    assert rolled_back(first).active is None, "before the first release the settings' model judged"


def test_a_threshold_belongs_to_the_model_that_it_was_set_for_and_a_budget_to_the_camera() -> None:
    tuned = with_changes(with_active(NOTHING, bundle("a"), LiveChanges()), SOME, as_set=False)
    assert tuned.changes == SOME
    assert with_active(tuned, bundle("b"), LiveChanges()).changes == LiveChanges(budget_us=5)
    assert with_active(tuned, bundle("b"), LiveChanges(classification_threshold=0.5)).changes == LiveChanges(
        classification_threshold=0.5, budget_us=5
    )
    assert rolled_back(with_active(tuned, bundle("b"), LiveChanges())).changes == LiveChanges(budget_us=5)
    assert with_changes(tuned, LiveChanges(), as_set=True).changes == LiveChanges()


def test_a_trial_ends_with_a_rollback_or_a_release_and_a_rollback_of_a_trial_leaves_the_judge() -> None:
    tried = with_candidate(with_active(NOTHING, bundle("a"), LiveChanges()), canary("b"))
    assert tried.candidate == canary("b")
    assert rolled_back(tried) == tried.model_copy(update={"candidate": None})
    assert with_active(tried, bundle("b"), LiveChanges()).candidate is None
    assert with_candidate(tried, canary("c")).candidate == canary("c")


def test_what_makes_no_sense_is_refused_with_what_would() -> None:
    with pytest.raises(ReleaseError, match="nothing to go back to; release one"):
        rolled_back(NOTHING)
    with pytest.raises(ReleaseError, match="already judges"):
        with_candidate(with_active(NOTHING, bundle("a"), LiveChanges()), canary("a"))


def test_releasing_what_judges_already_keeps_what_a_rollback_goes_back_to() -> None:
    second = with_active(with_active(NOTHING, bundle("a"), LiveChanges()), bundle("b"), LiveChanges())
    assert with_active(second, bundle("b"), LiveChanges(budget_us=9)).previous == bundle("a")
