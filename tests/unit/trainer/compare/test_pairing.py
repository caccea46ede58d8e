from __future__ import annotations

from typing import Any

import pytest

from schemas import DLResultMessage
from tests.messages import message, refused, shadow_of
from trainer.compare.pairing import Pairing
from trainer.errors import DatasetError


def judged(seq: int, score: float, **changes: Any) -> DLResultMessage:
    verdict = {"anomaly_class": "nok", "anomaly_class_id": 1} if score >= 0.5 else {}
    return message(seq=seq, captured_at=1_700_000_000_000_000 + seq, anomaly_score=score, **verdict, **changes)


def paired(scores: list[tuple[float, float | None]], digest: str = "") -> Pairing:
    """Score of each frame, and that in the shadow."""
    made = Pairing("L1/C1", digest)
    frames = [judged(seq, score) for seq, (score, _) in enumerate(scores)]
    for frame, (_, shadow) in zip(frames, scores, strict=True):
        made.add_shadow(shadow_of(frame, shadow))
    for frame in frames:
        made.add_result(frame)
    return made


def test_frames_are_paired_by_their_result_and_counted_two_by_two() -> None:
    result = paired([(0.1, 0.2), (0.1, 0.9), (0.9, 0.1), (0.9, 0.8), (0.2, None)]).result()
    assert dict(result.counts) == {("ok", "ok"): 1, ("ok", "nok"): 2, ("nok", "ok"): 1, ("nok", "nok"): 1}
    assert (result.differing.count, result.differing.total) == (3, 5)
    assert 0.14 < result.differing.low < 0.15, "Clopper and Pearson"
    assert 0.94 < result.differing.high < 0.95
    assert (result.rejects.only_first, result.rejects.only_second) == (2, 1)
    assert [pair.seq for pair in result.differences] == [4, 1, 2], "what could not be scored first, then the farthest"
    assert dict(result.failed) == {"device": 1}
    assert [pair.change for pair in result.pairs] == ["same", "rejects", "passes", "same", "rejects"]


def test_of_repeated_ones_the_first_counts() -> None:
    made = Pairing("L1/C1")
    frame = judged(1, 0.1)
    made.add_shadow(shadow_of(frame, 0.2))
    made.add_shadow(shadow_of(frame, 0.9))
    made.add_result(frame)
    made.add_result(judged(1, 0.9))
    (pair,) = made.result().pairs
    assert (pair.counted.score, pair.shadow.score) == (0.1, 0.2)


def test_what_only_one_has_seen_is_counted_and_not_compared() -> None:
    made = Pairing("L1/C1")
    for seq in (2, 3, 5):
        made.add_shadow(shadow_of(judged(seq, 0.1), 0.2))
    for before, meanwhile, after in [(1, 4, 6)]:
        made.add_result(judged(before, 0.1))
        made.add_result(judged(meanwhile, 0.1))
        made.add_result(judged(after, 0.1))
    made.add_result(judged(3, 0.1))
    late = refused("corrupt").model_copy(update={"result_id": judged(2, 0.1).result_id})
    made.add_result(late)
    result = made.result()
    assert (len(result.pairs), result.unseen, result.unpaired) == (1, 1, 2)


def test_the_last_model_on_trial_is_compared_unless_another_is_meant() -> None:
    frames = [judged(seq, 0.1) for seq in (1, 2)]

    def told(digest: str) -> Pairing:
        made = Pairing("L1/C1", digest)
        made.add_shadow(shadow_of(frames[0], 0.9, digest="c" * 64))
        made.add_shadow(shadow_of(frames[1], 0.2, digest="d" * 64))
        for frame in frames:
            made.add_result(frame)
        return made

    last = told("").result()
    assert (last.tried.digest[0], last.others, last.differing.count) == ("d", 1, 0)
    assert told("cc").result().differing.count == 1


def test_nothing_to_compare_is_refused_with_what_would_mend_it() -> None:
    with pytest.raises(DatasetError, match="begin a trial with `trainer release BUNDLE --shadow`"):
        Pairing("L1/C1").result()
    with pytest.raises(DatasetError, match="whose digest begins with cc"):
        _ = paired([(0.1, 0.1)], digest="cc").first_us
    lonely = Pairing("L1/C1")
    lonely.add_shadow(shadow_of(judged(1, 0.1), 0.2))
    with pytest.raises(DatasetError, match="no result is there any more"):
        lonely.result()


def test_scores_are_compared_as_shares_of_their_thresholds() -> None:
    result = paired([(0.1, 0.2), (0.1, 0.15), (0.4, 0.1)]).result()
    assert result.moved == pytest.approx((-0.6, 0.1, 0.2))
    assert paired([(0.1, None)]).result().moved is None
