from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from rich.console import Console

from deploy.demo.account import Account
from deploy.demo.cameras import DemoCamera
from deploy.demo.views.live import LATEST, LiveTable, print_outcome
from tests.unit.deploy.demo.test_account import CAPTURED_AT, result_line, sent_line

CAMERAS = [DemoCamera("top", "Top", Path("/data"), 0), DemoCamera("side", "Side", Path("/data"), 1)]


def printed(thing: Any, width: int = 80) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(thing)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def busy() -> tuple[Account, LiveTable]:
    """Three frames of `top`: ok, nok, expired; one of them of `side` not answered yet."""
    account = Account(["top", "side"])
    table = LiveTable(CAMERAS, account, 4)
    late: dict[str, Any] = {"status": "expired", "reason": "late_before_score", "anomaly_score": None}
    verdicts: list[dict[str, Any]] = [
        {},
        {"anomaly_class": "nok", "anomaly_score": 0.875},
        {"anomaly_class": "nok", **late},
    ]
    for index, changes in enumerate(verdicts):
        account.take_replay_line("top", sent_line(str(index)))
        received = account.take_result_line(result_line(str(index), **changes), CAPTURED_AT + 40_000)
        assert received is not None
        table.note(received)
    account.take_replay_line("side", sent_line("x"))
    return account, table


def test_the_table_counts_what_came_and_what_is_out() -> None:
    _, table = busy()
    rows = {line.split()[0]: line.split()[1:] for line in printed(table.render(2.0)).splitlines() if line.split()}

    assert rows["camera"] == ["sent", "verdicts", "ok", "nok", "expired", "p50", "ms", "p99", "ms", "frames/s"]
    assert rows["top"] == ["3", "3", "1", "1", "1", "40", "40", "1.5"]
    assert rows["side"] == ["1", "0", "0", "0", "0", "-", "-", "0.0"]


def test_the_table_fits_eighty_columns() -> None:
    _, table = busy()
    lines = printed(table.render(2.0)).splitlines()
    assert max(map(len, lines)) <= 80
    assert not any("…" in line for line in lines)


def test_the_latest_verdicts_say_why() -> None:
    _, table = busy()
    text = printed(table.render(2.0))
    assert "score 0.875" in text
    assert "late_before_score" in text
    assert "3 of 4 verdicts" in text


def test_only_the_last_few_verdicts_are_shown() -> None:
    account, table = busy()
    for index in range(LATEST):
        received = account.take_result_line(result_line(f"n{index}"), CAPTURED_AT)
        assert received is not None
        table.note(received)
    assert "score 0.875" not in printed(table.render(2.0))


def test_a_screen_is_worth_keeping_from_half_time_on_if_it_shows_both_verdicts() -> None:
    account, table = busy()
    assert table.is_worth_keeping
    assert not LiveTable(CAMERAS, account, 4).is_worth_keeping, "it shows no verdict yet"
    early = LiveTable(CAMERAS, account, 7)
    for received in account.received():
        early.note(received)
    assert not early.is_worth_keeping, "three of seven are not half"
    for index in range(LATEST):
        one = account.take_result_line(result_line(f"n{index}"), CAPTURED_AT)
        assert one is not None
        table.note(one)
    assert not table.is_worth_keeping, "all the latest are ok"


def test_a_log_gets_a_line_every_ten_seconds() -> None:
    _, table = busy()
    lines = [table.line(second) for second in (5.0, 10.5, 11.0, 20.5)]
    assert [line is not None for line in lines] == [False, True, False, True]
    assert lines[1] == "  10 s: 3 of 4 verdicts, p99 40 ms"


def outcome(**changes: Any) -> str:
    camera = {
        "frames": 592,
        "verdicts": 592,
        "auroc": 0.99964,
        "images_nok": 60,
        "missed": 1,
        "images_ok": 14,
        "false_rejects": 2,
        "on_time": 0.9983,
        "p50_ms": 114.0,
        "p99_ms": None,
    }
    summary = {
        "cameras": {"top": camera, "side": camera},
        "frames": 1184,
        "verdicts": 1184,
        "missing": 0,
        "duplicates": 3,
        "throughput_fps": 9.1,
        "offered_fps": 9.2,
        "budget_ms": 5000,
        "broker": "Tansu v0.6.0-510f3e2 (embedded)",
        "seconds": {"total": 180.4},
        "faults": [],
    }
    console = Console(file=io.StringIO(), width=80)
    print_outcome(console, CAMERAS, summary | changes)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_the_outcome_fits_eighty_columns_and_tells_the_figures() -> None:
    text = outcome()

    assert max(map(len, text.splitlines())) <= 80
    assert next(line for line in text.splitlines() if " top" in line).split() == (
        ["top", "592", "592", "0.9996", "59/60", "2/14", ["99.8", "%"][0], "%", "114", "-"]
    )
    assert "1184 frames, 1184 verdicts, 0 missing, 3 repeated" in text
    assert "9.1 frames/s of 9.2 offered, budget 5 s, Tansu v0.6.0-510f3e2 (embedded)" in text
    assert "problem:" not in text


def test_a_fault_is_told_whatever_is_in_it() -> None:
    assert "problem: Top: [bold] of 3" in outcome(faults=["Top: [bold] of 3"])
