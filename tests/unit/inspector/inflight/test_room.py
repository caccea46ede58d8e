"""Room: what did not fit is halved, what fits is doubled after a while, and a lasting want is tried ever more seldom."""

from __future__ import annotations

from inspector.inflight.room import MOST_PATIENCE, PATIENCE, Room

MODEL, OTHER = object(), object()


def fit(room: Room, size: int, times: int) -> bool:
    return [room.fitted(MODEL, size) for _ in range(times)][-1]


def test_without_want_there_is_no_limit() -> None:
    room = Room()
    assert not room.fitted(MODEL, 8)
    assert room.limit(MODEL) is None
    assert room.smallest() is None


def test_a_want_is_new_once_and_each_model_has_its_own() -> None:
    room = Room()
    assert room.exceeded(MODEL, 9)
    assert not room.exceeded(MODEL, 4)
    assert room.exceeded(OTHER, 100)
    assert (room.limit(MODEL), room.limit(OTHER), room.smallest()) == (2, 50, 2)


def test_of_an_odd_batch_the_smaller_half_is_the_limit_and_it_grows_by_doubling() -> None:
    room = Room()
    room.exceeded(MODEL, 17)
    assert room.limit(MODEL) == 8
    room.exceeded(MODEL, 5)
    assert room.limit(MODEL) == 2
    fit(room, 2, PATIENCE)
    assert room.limit(MODEL) == 4


def test_a_single_frame_is_the_least() -> None:
    room = Room()
    room.exceeded(MODEL, 1)
    assert room.limit(MODEL) == 1
    assert fit(room, 1, PATIENCE)
    assert room.limit(MODEL) is None


def test_a_batch_that_was_taken_before_the_limit_was_known_changes_nothing() -> None:
    room = Room()
    for _ in range(3):  # three threads at once
        room.exceeded(MODEL, 8)
    assert room.limit(MODEL) == 4


def test_only_batches_of_the_present_size_tell_that_more_may_fit() -> None:
    room = Room()
    room.exceeded(MODEL, 8)
    fit(room, 3, 10 * PATIENCE)
    assert room.limit(MODEL) == 4
    assert not fit(room, 4, PATIENCE)
    assert room.limit(MODEL) == 8
    assert fit(room, 8, PATIENCE)


def test_each_larger_batch_that_fails_again_doubles_the_patience() -> None:
    room = Room()
    room.exceeded(MODEL, 8)
    patience = PATIENCE
    while patience <= 2 * MOST_PATIENCE:
        expected = min(patience, MOST_PATIENCE)
        fit(room, 4, expected - 1)
        assert room.limit(MODEL) == 4
        fit(room, 4, 1)
        assert room.limit(MODEL) == 8
        room.exceeded(MODEL, 8)
        assert room.limit(MODEL) == 4
        patience *= 2


def test_the_limit_grows_to_what_was_wanted_and_not_beyond() -> None:
    room = Room()
    room.exceeded(MODEL, 7)
    for size, grown in ((3, 6), (6, 7), (7, None)):
        assert room.limit(MODEL) == size
        assert not fit(room, size, PATIENCE - 1)
        assert room.fitted(MODEL, size) == (grown is None)
        assert room.limit(MODEL) == grown


def test_what_fitted_before_a_want_counts_no_more() -> None:
    room = Room()
    room.exceeded(MODEL, 8)
    fit(room, 4, PATIENCE - 1)
    room.exceeded(MODEL, 9)  # of another thread, taken before the limit was known
    fit(room, 4, PATIENCE - 1)
    assert room.limit(MODEL) == 4
    assert not fit(room, 4, 1)
    assert room.limit(MODEL) == 8
    fit(room, 8, PATIENCE)
    assert room.limit(MODEL) == 9, "the largest that was wanted"


def test_what_was_learnt_of_models_that_are_gone_is_forgotten() -> None:
    room = Room()
    room.exceeded(MODEL, 8)
    room.exceeded(OTHER, 4)
    room.forget_all_but([MODEL])
    assert (room.limit(MODEL), room.limit(OTHER), room.smallest()) == (4, None, 4)
    room.forget_all_but([])
    assert room.smallest() is None
