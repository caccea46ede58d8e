"""The sequence: whatever the order of completion, each camera's outcomes leave in the order of its places."""

from __future__ import annotations

import weakref
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.stages.sequence import Sequencer


@given(cameras=st.lists(st.sampled_from("abc"), max_size=40), data=st.data())
def test_first_in_first_out_for_each_camera_and_nothing_waits_without_reason(
    cameras: list[str], data: st.DataObject
) -> None:
    sequencer: Sequencer[int, str] = Sequencer()
    for index, camera in enumerate(cameras):
        sequencer.open(camera, index)
    released: list[int] = []
    completed: set[int] = set()
    for index in data.draw(st.permutations(range(len(cameras)))):
        completed.add(index)
        released += map(int, sequencer.complete(cameras[index], index, str(index)))
        for camera in "abc":
            mine = [i for i, name in enumerate(cameras) if name == camera]
            ready = next((n for n, i in enumerate(mine) if i not in completed), len(mine))
            assert [i for i in released if cameras[i] == camera] == mine[:ready]
    assert len(sequencer) == 0


@given(owners=st.lists(st.sampled_from("xy"), min_size=1, max_size=20), data=st.data())
def test_forgetting_places_frees_those_behind_them(owners: list[str], data: st.DataObject) -> None:
    sequencer: Sequencer[int, str] = Sequencer()
    for index in range(len(owners)):
        sequencer.open("camera", index)
    early = data.draw(st.sets(st.sampled_from(range(len(owners)))))
    released: list[int] = []
    for index in sorted(early):
        released += map(int, sequencer.complete("camera", index, str(index)))
    released += map(int, sequencer.forget(lambda index: owners[index] == "x"))
    for index, owner in enumerate(owners):
        late = sequencer.complete("camera", index, str(index))
        if owner == "x":
            assert late == []
        released += map(int, late)
    assert released == sorted(set(released))
    assert {index for index, owner in enumerate(owners) if owner == "y"} <= set(released)
    assert len(sequencer) == 0


def test_a_place_is_filled_once() -> None:
    sequencer: Sequencer[int, str] = Sequencer()
    sequencer.open("camera", 1)
    sequencer.open("camera", 2)
    assert sequencer.complete("camera", 2, "second") == []
    assert sequencer.complete("camera", 2, "again") == []
    assert sequencer.complete("camera", 1, "first") == ["first", "second"]
    assert sequencer.complete("camera", 1, "again") == []
    assert sequencer.complete("unknown", 1, "stranger") == []


def test_forgetting_some_places_keeps_the_others_in_order() -> None:
    sequencer: Sequencer[int, str] = Sequencer()
    for key in (1, 2, 3):
        sequencer.open("camera", key)
    assert sequencer.complete("camera", 3, "third") == []
    assert sequencer.forget(lambda key: key == 2) == []
    assert sequencer.complete("camera", 1, "first") == ["first", "third"]


@given(cameras=st.lists(st.sampled_from("ab"), min_size=1, max_size=20), data=st.data())
def test_what_is_cut_off_takes_all_behind_it_along_and_releases_nothing(
    cameras: list[str], data: st.DataObject
) -> None:
    sequencer: Sequencer[int, str] = Sequencer()
    for index, camera in enumerate(cameras):
        sequencer.open(camera, index)
    places = range(len(cameras))
    early = data.draw(st.sets(st.sampled_from(places)))
    unwanted = data.draw(st.sets(st.sampled_from(places))) - early
    released = [outcome for index in sorted(early) for outcome in sequencer.complete(cameras[index], index, str(index))]
    cut = sequencer.cut(unwanted.__contains__)
    first = {camera: min((i for i in unwanted if cameras[i] == camera), default=len(cameras)) for camera in "ab"}
    assert set(cut) == {index for index, camera in enumerate(cameras) if index >= first[camera]}
    for index, camera in enumerate(cameras):
        released += sequencer.complete(camera, index, str(index))
    for camera in "ab":
        mine = [int(outcome) for outcome in released if cameras[int(outcome)] == camera]
        assert mine == [index for index, name in enumerate(cameras) if name == camera and index < first[camera]]
    assert len(sequencer) == 0


class Camera:
    """The name of a queue whose end can be watched."""


@pytest.mark.parametrize(
    "empty",
    [
        lambda sequencer, camera: sequencer.complete(camera, 1, "done"),
        lambda sequencer, _camera: sequencer.forget(lambda _key: True),
        lambda sequencer, _camera: sequencer.cut(lambda _key: True),
    ],
    ids=["complete", "forget", "cut"],
)
def test_a_queue_that_is_empty_leaves_nothing_behind(empty: Callable[[Sequencer[int, str], Camera], object]) -> None:
    """Strangers may make up a camera for each frame."""
    sequencer: Sequencer[int, str] = Sequencer()
    camera = Camera()
    gone = weakref.ref(camera)
    sequencer.open(camera, 1)
    empty(sequencer, camera)
    assert len(sequencer) == 0
    del camera
    assert gone() is None
