from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.mutants import __main__ as command
from tests.mutants import workplace
from tests.mutants.report import Outcome, Survivor, judge, print_outcomes, read_reasons, write_outcome
from tests.mutants.rooms import ROOMS, Room
from tests.mutants.workplace import CHECKOUT

FOUND = [
    {"function": "schemas.codec.read", "status": "killed"},
    {"function": "schemas.codec.read", "status": "killed"},
    {"function": "schemas.codec.read", "status": "timeout"},
    {"function": "schemas.codec.read", "status": "survived", "before": "a < 1", "after": "a <= 1"},
    {"function": "schemas.codec.write", "status": "no tests", "before": "b", "after": "None"},
    {"function": "schemas.codec.write", "status": "not checked", "before": "c", "after": "None"},
]
REASONS = {("schemas.codec.read", "a < 1", "a <= 1"): "equivalent: a is odd"}


@pytest.fixture
def outcome() -> Outcome:
    return judge("schemas", 40, FOUND, REASONS)


def test_what_failed_a_test_or_never_ended_was_noticed(outcome: Outcome) -> None:
    assert (outcome.mutants, outcome.tried, outcome.noticed) == (40, 5, 3)
    assert outcome.share == 0.6


def test_a_survivor_has_the_reason_written_for_this_change_of_this_function(outcome: Outcome) -> None:
    assert outcome.survivors == [
        Survivor("schemas.codec.read", "survived", "a < 1", "a <= 1", "equivalent: a is odd"),
        Survivor("schemas.codec.write", "no tests", "b", "None", None),
    ]


def test_only_a_sample_has_an_interval() -> None:
    interval = Outcome("stages", 1000, {"killed": 90, "survived": 10, "not checked": 100}, []).interval
    assert interval is not None
    assert list(interval) == pytest.approx([0.8256, 0.9448], abs=1e-4), "Wilson's, for 90 of 100"
    assert Outcome("stages", 100, {"killed": 90, "survived": 10}, []).interval is None
    nothing = Outcome("stages", 100, {}, [])
    assert (nothing.interval, nothing.share) == (None, 1.0)


def test_the_table_has_a_line_for_each_room_and_new_survivors_stand_out(
    outcome: Outcome, capsys: pytest.CaptureFixture[str]
) -> None:
    print_outcomes([outcome])
    said = capsys.readouterr().out
    assert "schemas.codec.read (survived)\n  - a < 1\n  + a <= 1\n  equivalent: a is odd\n" in said
    assert "  + None\n  NEW: write a test, or a reason into tests/mutants/survivors.toml\n" in said
    (line,) = (line for line in said.splitlines() if line.lstrip().startswith("schemas "))
    assert line.split() == ["schemas", "40", "5", "2", "1", "2", "1", "60.0%", "23.1%", "to", "88.2%"]


def test_the_kept_result_has_counts_commit_and_survivors(outcome: Outcome, tmp_path: Path) -> None:
    write_outcome(outcome, seed=7, seconds=12.3, folder=tmp_path)
    kept = json.loads((tmp_path / "schemas.json").read_text())
    assert {key: kept[key] for key in ("mutants", "tried", "seed", "killed", "timeout", "survived", "seconds")} == {
        "mutants": 40,
        "tried": 5,
        "seed": 7,
        "killed": 2,
        "timeout": 1,
        "survived": 2,
        "seconds": 12,
    }
    assert kept["commit"]
    assert [survivor["reason"] for survivor in kept["survivors"]] == ["equivalent: a is odd", None]
    again = judge("schemas", 40, FOUND[:-2], REASONS, is_again=True)
    for _ in range(2):
        write_outcome(again, seed=7, seconds=1.0, folder=tmp_path)
        later = json.loads((tmp_path / "schemas.json").read_text())
        assert later["first"] == {name: kept[name] for name in ("commit", "tried", "noticed", "interval")}
        assert (later["noticed"], later["interval"]) == (0.75, None), "its tests have seen the sample"


@pytest.mark.parametrize(
    ("reason", "is_excused"),
    [
        ("equivalent: a is odd", True),
        ("not worth it: the width of a line", True),
        ("a gap: nothing asks for it yet", False),
        ("a test was written since", False),
        (None, False),
    ],
)
def test_a_gap_that_is_only_known_is_no_excuse(reason: str | None, is_excused: bool) -> None:  # noqa: FBT001 a column of the table
    assert Survivor("a.b", "survived", "a", "b", reason).is_excused is is_excused


def test_what_was_never_tried_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workplace, "OUT", tmp_path)
    place = workplace.Workplace(ROOMS[0])
    monkeypatch.setattr(place, "_tool", lambda *_: None)
    assert place.prepare(again=True, share=0.1, seed=1) is False
    assert place.prepare(again=True, share=0.1, seed=1) is True


def code_of(function: str) -> str:
    """The module of a function in one line, as survivors show code."""
    parts = function.split(".")
    paths = [CHECKOUT.joinpath(*parts[:end]).with_suffix(".py") for end in range(len(parts), 0, -1)]
    module = next(path for path in paths if path.is_file())
    return " ".join(line.strip() for line in module.read_text(encoding="utf-8").splitlines())


def test_every_kept_survivor_has_a_reason_and_every_reason_is_of_code_that_is_there() -> None:
    """Reasons of samples before the last are kept: the next may draw the same mutants."""
    reasons = read_reasons()
    for path in sorted((Path(__file__).parent / "results").glob("*.json")):
        for one in json.loads(path.read_text())["survivors"]:
            assert one["reason"], one
            assert reasons.get((one["function"], one["before"], one["after"]), one["reason"]) == one["reason"]
    assert all(reasons.values())
    assert [function for function, before, _ in reasons if before not in code_of(function)] == []


def test_a_stranger_among_the_rooms_is_refused_with_their_names(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        command.main(["verdict", "attic"])
    assert ended.value.code == 2
    assert "no room attic; there are verdict, thresholds, schemas, inflight, stages" in capsys.readouterr().err


def test_a_room_that_mutmut_cannot_try_ends_the_run_with_a_sentence(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(workplace, "OUT", tmp_path)
    monkeypatch.setattr(workplace, "TOOL", tmp_path / "not_there.py")
    assert command.main(["verdict"]) == 2
    assert (
        f"verdict was not tried to the end, for the reason above; its workplace is {tmp_path}"
        in capsys.readouterr().err
    )
    settings = tomllib.loads((tmp_path / "verdict" / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["mutmut"]
    assert settings["only_mutate"] == ["inspector/anomaly/verdict/*"]
    assert settings["pytest_add_cli_args_test_selection"] == ["tests/unit/anomaly/verdict"]
    assert (tmp_path / "verdict" / "tests" / "mutants" / "rooms.py").exists()


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_a_room_has_code_and_tests_that_need_no_broker(room: Room) -> None:
    assert list((CHECKOUT / room.folder).glob("*.py"))
    for name in room.tests:
        place = CHECKOUT / name
        files = [place] if place.is_file() else list(place.rglob("test_*.py"))
        assert files
        assert not [path for path in files if "kafka_broker" in path.read_text(encoding="utf-8")]
