from __future__ import annotations

from trainer.listing.tally import LeftOut, Tally


def test_a_tally_of_nothing_left_out_is_short() -> None:
    assert Tally(1).sentence == "1 file seen, 1 taken"
    assert Tally(3).as_json() == {"seen": 3, "taken": 3, "left_out": []}


def test_what_is_moved_keeps_the_sum() -> None:
    tally = Tally(5, (LeftOut("a\nb.txt", "hidden"),)).moved(["c.png", "d.png"], "unreadable")
    assert (tally.seen, tally.taken, tally.pictures_left_out) == (6, 3, 2)
    assert tally.sentence == "6 files seen, 3 taken, 3 left out: 2 unreadable (c.png, d.png), 1 hidden (a\\nb.txt)"
    assert tally.as_json()["left_out"][0] == {"reason": "unreadable", "count": 2, "files": ["c.png", "d.png"]}
