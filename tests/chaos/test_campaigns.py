"""What every campaign has, and what runs them: counts, protections that can be switched off, rows, the exit status."""

from __future__ import annotations

import importlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgpack
import pytest

from tests.chaos import __main__ as runner
from tests.chaos import launcher, report, timing
from tests.chaos.campaign import Campaign, Context, Row, Shared, SkipCampaign, find_campaigns
from tests.chaos.checker import Record
from tests.chaos.readiness import Readiness, Sample

ROOT = Path(__file__).parents[2]
CAMPAIGNS = find_campaigns()


@pytest.mark.parametrize("name", CAMPAIGNS)
def test_a_campaign_has_the_same_counts_in_both_sizes_and_a_protection_to_switch_off(name: str) -> None:
    campaign = CAMPAIGNS[name]
    assert set(campaign.full) == set(campaign.smoke) == set(campaign.mutated or campaign.full)
    assert all(campaign.smoke[count] <= campaign.full[count] for count in ("kills", "stops") if count in campaign.full)
    assert campaign.mutations, "a campaign that cannot fail shows nothing"
    for mutation in campaign.mutations:
        assert callable(importlib.import_module(f"tests.chaos.mutations.{mutation}").install)


@pytest.mark.parametrize("point", launcher.POINTS)
def test_a_point_of_death_is_a_method_that_there_is(point: str) -> None:
    module, owner, method, _ = launcher.POINTS[point]
    assert callable(getattr(getattr(importlib.import_module(module), owner), method))


CHANGES = sorted({mutation for campaign in CAMPAIGNS.values() for mutation in campaign.mutations})


def test_what_changes_the_service_finds_what_it_changes() -> None:
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]: print(name); importlib.import_module('tests.chaos.' + name).install()"
    )
    modules = ["device", *(f"mutations.{mutation}" for mutation in CHANGES)]
    done = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout.split()[-1]}\n{done.stderr}"


def campaign_that(outcome: str) -> Campaign:
    async def run(context: Context) -> None:
        if outcome == "skips":
            raise SkipCampaign("no such thing here")
        if outcome == "breaks":
            raise TimeoutError("it never came")
        is_held = outcome == "holds" and context.mutation is None
        context.row("all is well", trials=context.counts["times"], figure="seen", held=is_held)

    return Campaign("made-up", "made up", {"times": 9}, {"times": 2}, run, {"commit_on_read": "all is well"})


@pytest.mark.parametrize(
    ("outcome", "arguments", "status", "held"),
    [
        ("holds", ["--smoke"], 0, True),
        ("misses", ["--smoke"], 1, False),
        ("breaks", [], 1, False),
        ("skips", [], 1, None),
        ("holds", ["--mutate"], 0, True),
        ("skips", ["--mutate"], 1, None),
    ],
)
def test_the_status_is_1_where_a_promise_is_missed(
    outcome: str,
    arguments: list[str],
    status: int,
    held: bool | None,  # noqa: FBT001 a column of the table
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(runner, "find_campaigns", lambda: {"made-up": campaign_that(outcome)})
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(runner, "tune_process", lambda: None)
    assert runner.main([*arguments, "--set", "times=3", "--name", "out", "--seed", "5"]) == status
    document = json.loads((tmp_path / "out.json").read_text())
    (row,) = document["rows"]
    assert (row["held"], document["seed"]) == (held, 5)
    assert {"machine", "commit", "command", "broker"} <= set(document)
    assert report.WORDS[held] in capsys.readouterr().out


def test_a_mutation_that_nobody_notices_is_missed(tmp_path: Path) -> None:
    async def blind(context: Context) -> None:
        context.row("all is well", trials=1, figure="seen", held=True)

    campaign = Campaign("blind", "sees nothing", {}, {}, blind, {"commit_on_read": "all is well"})
    row = runner.run_mutated(campaign, "commit_on_read", Shared(tmp_path / "runs"), 1, {})
    assert (row.held, row.figure) == (False, "nothing was noticed")


def test_a_campaign_that_breaks_down_is_no_proof_and_neither_is_another_promise(tmp_path: Path) -> None:
    async def broken(context: Context) -> None:
        context.row("memory is bounded", trials=1, figure="slow today", held=False)
        raise AttributeError("the mutation fits the code no more")

    campaign = Campaign("broken", "breaks", {}, {}, broken, {"commit_on_read": "every frame has a verdict"})
    row = runner.run_mutated(campaign, "commit_on_read", Shared(tmp_path / "runs"), 1, {})
    assert row.held is False


def rows_of(*held: bool | None) -> list[Row]:
    return [Row("made-up", "all is well", 0 if one is None else 1, "seen", one) for one in held]


def test_green_is_what_was_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUIRE", raising=False)
    assert runner.status_of(rows_of(True, None)) == 0
    assert runner.status_of(rows_of(None)) == runner.status_of([]) == 1
    assert runner.status_of(rows_of(True), ended_early=True) == 1
    monkeypatch.setenv("REQUIRE", "kafka")
    assert runner.status_of(rows_of(True, None)) == 1
    assert runner.status_of(rows_of(True)) == 0


def test_small_counts_tell_times_and_do_not_judge_them(tmp_path: Path) -> None:
    for judges_times, held in ((True, False), (False, None)):
        context = Context("c", tmp_path, 1, {}, Shared(tmp_path / "runs"), judges_times=judges_times)
        context.row("it is fast", trials=1, figure="9 s", held=False, is_time=True)
        assert context.rows[0].held is held
        context.row("it is right", trials=1, figure="no", held=False)
        assert context.rows[1].held is False


@pytest.mark.parametrize("before", [True, False])
def test_death_comes_at_the_counted_passage_after_the_signal(before: bool) -> None:  # noqa: FBT001
    program = (
        "import os, signal, sys, types\n"
        "from tests.chaos.launcher import Death, Point, put\n"
        "class Service:\n"
        "    def work(self): print('works', flush=True)\n"
        "sys.modules['service'] = types.SimpleNamespace(Service=Service)\n"
        f"put(Point('service', 'Service', 'work', before={before}), Death(2))\n"
        "Service().work()\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "for _ in range(9): Service().work()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert done.stdout.count("works") == (2 if before else 3)


def result(camera: str, at_ms: int) -> Record:
    return Record("results", 0, at_ms, at_ms, msgpack.packb({"line_id": "line", "camera_id": camera}))


def test_silence_is_the_longest_time_between_two_results_of_a_camera() -> None:
    records = [result("a", at) for at in (1000, 9000, 9100)] + [result("b", at) for at in (1000, 1100, 1200)]
    records.sort(key=lambda record: record.timestamp_ms)  # as they arrive
    assert timing.longest_gaps_s(records, ["line/a", "line/b"], 1000) == {"line/a": 8.0, "line/b": 0.1}
    assert timing.longest_gaps_s(records, ["line/a"], 9000) == {"line/a": 0.1}
    assert timing.percentile([3.0, 1.0, 2.0], 0.5) == 2.0
    assert timing.percentile(list(map(float, range(1, 101))), 0.99) == 99.0


@pytest.mark.parametrize(
    ("ready", "at_s", "held"), [(True, 5.0, True), (True, 12.0, False), (False, 12.0, True), (False, 25.0, False)]
)
def test_ready_must_be_the_truth_once_there_was_time_to_notice(
    ready: bool,  # noqa: FBT001
    at_s: float,
    held: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    context: Any = Context("c", tmp_path, 1, {}, Shared(tmp_path / "runs"))
    watched = Readiness([])
    watched.samples.append(Sample(at_s, "w", ready))
    for what, begin_s, end_s, truth, notice_s in (("away", 0.0, 20.0, False, 10.0), ("well", 20.0, 30.0, True, 0.0)):
        monkeypatch.setattr("tests.chaos.readiness.time.monotonic", lambda end_s=end_s: end_s)
        watched.so(what, begin_s, ready=truth, notice_s=notice_s)
    watched.add_row(context)
    assert context.rows[0].held is held
