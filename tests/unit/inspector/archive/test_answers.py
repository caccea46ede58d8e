from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspector.archive import answers as answers_module
from inspector.archive.answers import Answers


@given(st.sets(st.integers(0, 60), min_size=1), st.randoms(use_true_random=False))
def test_what_lies_between_two_answers_and_has_none_is_missed_once(answered: set[int], chance: object) -> None:
    answers = Answers(10.0)
    order = [min(answered)]  # what lies before the first is nobody's to say
    rest = sorted(answered - set(order))
    chance.shuffle(rest)  # type: ignore[attr-defined]
    for offset in order + rest:
        assert not answers.answered(offset, 100.0)
    assert answers.overdue(109.9) == []
    assert sorted(answers.overdue(110.0)) == sorted(set(range(min(answered), max(answered))) - answered)
    assert answers.overdue(500.0) == []


def test_an_answer_after_that_is_late_and_no_longer_missing() -> None:
    answers = Answers(10.0)
    answers.answered(0, 0.0)
    answers.answered(3, 0.0)
    assert not answers.answered(1, 5.0)
    assert answers.overdue(10.0) == [2]
    assert answers.answered(2, 11.0)
    assert not answers.answered(2, 12.0), "once"


def test_a_jump_begins_anew_and_memory_is_bounded(monkeypatch: object) -> None:
    monkeypatch.setattr(answers_module, "MOST_OPEN", 5)  # type: ignore[attr-defined]
    answers = Answers(0.0)
    answers.answered(0, 0.0)
    answers.answered(1_000_000, 0.0)
    assert answers.overdue(1.0) == []
    answers.answered(1_000_004, 0.0)
    answers.answered(1_000_008, 0.0)
    assert answers.overdue(1.0) == [1_000_002, 1_000_003, 1_000_005, 1_000_006, 1_000_007]
