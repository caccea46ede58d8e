"""The sequence: whatever the order of completion, each camera's outcomes leave in the order of its tickets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from inspector.sequence import Sequencer, Ticket


@given(cameras=st.lists(st.sampled_from("abc"), max_size=40), data=st.data())
def test_first_in_first_out_for_each_camera_and_nothing_waits_without_reason(
    cameras: list[str], data: st.DataObject
) -> None:
    sequencer: Sequencer[int] = Sequencer()
    tickets = [sequencer.open(camera, "lease") for camera in cameras]
    released: list[int] = []
    completed: set[int] = set()
    for index in data.draw(st.permutations(range(len(cameras)))):
        completed.add(index)
        released += sequencer.complete(tickets[index], index)
        for camera in "abc":
            mine = [i for i, name in enumerate(cameras) if name == camera]
            ready = next((n for n, i in enumerate(mine) if i not in completed), len(mine))
            assert [i for i in released if cameras[i] == camera] == mine[:ready]
    assert len(sequencer) == 0


@given(owners=st.lists(st.sampled_from("xy"), min_size=1, max_size=20), data=st.data())
def test_forgetting_an_owner_frees_those_behind_it(owners: list[str], data: st.DataObject) -> None:
    sequencer: Sequencer[int] = Sequencer()
    tickets = [sequencer.open("camera", owner) for owner in owners]
    early = data.draw(st.sets(st.sampled_from(range(len(owners)))))
    released: list[int] = []
    for index in sorted(early):
        released += sequencer.complete(tickets[index], index)
    released += sequencer.forget_owner("x")
    for index, owner in enumerate(owners):
        late = sequencer.complete(tickets[index], index)
        if owner == "x":
            assert late == []
        released += late
    assert released == sorted(set(released))
    assert {index for index, owner in enumerate(owners) if owner == "y"} <= set(released)
    assert len(sequencer) == 0


def test_a_ticket_counts_once() -> None:
    sequencer: Sequencer[str] = Sequencer()
    ticket: Ticket[str] = sequencer.open("camera", "lease")
    assert sequencer.complete(ticket, "first") == ["first"]
    assert sequencer.complete(ticket, "second") == []
    other = sequencer.open("camera", "lease")
    assert sequencer.complete(ticket, "third") == []
    assert sequencer.complete(other, "other") == ["other"]


def test_forgetting_some_places_keeps_the_others_in_order() -> None:
    sequencer: Sequencer[str] = Sequencer()
    first, second, third = (sequencer.open("camera", "lease") for _ in range(3))
    assert sequencer.complete(third, "third") == []
    assert sequencer.forget([second]) == []
    assert sequencer.complete(first, "first") == ["first", "third"]
