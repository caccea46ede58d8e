"""A day that went well holds its promises, each flaw makes one missed, and the page shows it: days and evenings that are made up."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from deploy.demo.stage import Stage
from deploy.local.prometheus import Series
from schemas import part_share
from tests.chaos.checker import Findings
from tests.e2e.factory import promises
from tests.e2e.factory.book import Change, Period, Provoked
from tests.e2e.factory.day import Day
from tests.e2e.factory.findings import Evening, Verdict, verdicts_of
from tests.e2e.factory.line import CAMERAS, LEFT, RIGHT, Camera
from tests.e2e.factory.page import render
from tests.e2e.factory.promises import alarms_of, judge_day
from tests.e2e.factory.test_findings import DAY_S, record
from tests.encoded import encoded
from tests.monitoring.panels import Panel, Target
from tests.monitoring.shots import Answer, Shot

SILENT = {"alertname": "CameraSilent", "camera": "L/a"}
SHIFT_S = 100


def results(*, camera: Camera, digest: Callable[[str, int], str]) -> list[Any]:
    """A result a second, on a bad part every fifth time; `digest` tells the model of a part at a second."""
    made = []
    for second in range(SHIFT_S):
        kind = "nok" if second % 5 == 0 else "ok"
        part = f"{second:04d}_{kind}-{second}"
        model = {"digest": digest(part, second)}
        one = record(
            part,
            second,
            anomaly_class=kind,
            camera_id=camera.camera_id,
            model=model,
            result_id=f"{camera.camera_id}{second}",
        )
        made.append(one._replace(key=camera.key.encode()))
    return made


def judge_of(camera: Camera) -> Callable[[str, int], str]:
    """The canary is tried from second 40 to 70 on the right camera."""

    def digest(part: str, second: int) -> str:
        return "aliens-2" if camera == RIGHT and 40 <= second < 70 and part_share(part) < 0.25 else "aliens"

    return digest


@pytest.fixture
def evening() -> Evening:
    every = [one for camera in CAMERAS for one in results(camera=camera, digest=judge_of(camera))]
    applied = {"action": "applied", "line_id": "line1", "camera_id": LEFT.camera_id, "detail": ""}
    return Evening(
        Findings(frames=400, verdicts=400), verdicts_of(every), every, [{**applied, "at": (DAY_S + 20.5) * 1e6}]
    )


@pytest.fixture
def day(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Day:
    """All went well."""
    monkeypatch.setattr(promises, "digest_of", lambda _day, name: name)
    made = Day(Stage(tmp_path, Console(file=io.StringIO())), rate=1)
    made.stage.seconds["total"] = 480.0
    for camera in CAMERAS:
        belt = made.plant.places.belt(camera)
        belt.mkdir(parents=True)
        for name in ("0000_nok.jpg", "0001_ok.jpg"):
            (belt / name).write_bytes(encoded(np.zeros((8, 8, 3), np.uint8), ".jpg"))
    book = made.book
    book.periods = [
        Period("first shift", DAY_S, DAY_S + SHIFT_S, "calm"),
        Period("shadow scores", DAY_S + 22, DAY_S + 38, "change"),
        Period("canary judges", DAY_S + 40, DAY_S + 70, "change"),
        Period("rollback", DAY_S + 80, DAY_S + SHIFT_S, "change"),
    ]
    book.changes = [Change("swap <b>", {LEFT.key: 1}, DAY_S + 20, 2.0)]
    book.provoked = [Provoked("a camera is silent", "CameraSilent", {"camera": "L/a"}, DAY_S + 110, DAY_S + 120)]
    book.statuses = {"audit": 0, "archive verify": 0, "retrain": 0}
    even = {"total": 8, "only_first": 0, "only_second": 1, "both": 0}
    book.fits = {
        "aliens": {"false_reject_bound": 0.14},
        "cookies": {"false_reject_bound": 0.35},
        "aliens-3": {"n_train": 70, "comparison": {"false_rejects": even, "misses": None}},
    }
    rate = {"count": 1, "total": 80, "rate": 0.0125, "low": 0.0, "high": 0.07}
    book.said = {
        "compare": {"frames": 16, "unseen": 1, "failed": {}, "differences": [], "verdicts": []},
        "archived": 400,
        "backtest": {
            "tried": "aliens-3 1",
            "images": 100,
            "gone": 0,
            "differences": [],
            "verdicts": [{"recorded": "ok", "tried": "nok", "count": 1}],
            "new_rejects_of_sampled_ok": rate,
            "passed_of_recorded_nok": rate,
        },
    }
    made.firing = [(SILENT, [DAY_S + at for at in range(114, 122)])]
    panel = Panel("Verdicts", "timeseries", "", (Target("up", ""),), (), stacked=False, x=0, y=0, width=24, height=8)
    points = [(DAY_S + second, float(second)) for second in range(9)]
    made.shots = {"line": [Shot(panel, [Answer(panel.targets[0], [Series({}, points)])])]}
    return made


def missed(day: Day, evening: Evening) -> list[str]:
    judge_day(day, evening)
    return [row.promise for row in day.book.rows if row.held is False]


def test_a_day_that_went_well_misses_nothing(day: Day, evening: Evening) -> None:
    assert missed(day, evening) == []
    assert len(day.book.rows) > 20
    found = {row.promise: row.figure for row in day.book.rows}
    assert found["a camera is silent: CameraSilent fires"] == "fired after 4 s"


def changed(verdict: Verdict, **changes: Any) -> Verdict:
    return verdict._replace(**changes)


FLAWS: dict[str, tuple[str, Callable[[Day, Evening], Evening | None]]] = {
    "a frame is missing": (
        "every frame has a verdict",
        lambda _, evening: replace(evening, findings=Findings(frames=400, missing=["one"])),
    ),
    "a frame comes out of turn": (
        "first results of a camera keep its order",
        lambda _, evening: replace(evening, findings=Findings(frames=400, reordered=["one"])),
    ),
    "defects pass": (
        "of the bad parts",
        lambda _, evening: replace(
            evening, verdicts=[changed(one, anomaly_class="ok") if one.kind == "nok" else one for one in evening.verdicts]
        ),
    ),
    "good parts are rejected": (
        "of the good parts",
        lambda _, evening: replace(evening, verdicts=[changed(one, anomaly_class="nok") for one in evening.verdicts]),
    ),
    "verdicts are late": (
        "come in time",
        lambda _, evening: replace(evening, verdicts=[changed(one, deadline_s=0.0) for one in evening.verdicts]),
    ),
    "a release is refused": (
        "every release is applied",
        lambda _, evening: replace(evening, told=[*evening.told, {"action": "refused", "at": 0, "detail": "golden: off"}]),
    ),
    "a camera is silent at a swap": (
        "around an exchange",
        lambda _, evening: replace(
            evening, results=[one for one in evening.results if one.key != LEFT.key.encode() or not DAY_S + 19.5 < one.timestamp_ms / 1000 < DAY_S + 24.5]
        ),
    ),
    "the canary judges nothing": (
        "the canary judges its parts",
        lambda _, evening: replace(evening, verdicts=[changed(one, digest="aliens") for one in evening.verdicts]),
    ),
    "the shadow judges": (
        "in the shadow",
        lambda _, evening: replace(
            evening,
            verdicts=[changed(one, digest="aliens-2") if one.camera == RIGHT.key else one for one in evening.verdicts],
        ),
    ),
    "the shadow says nothing": ("in the shadow", lambda day, _: day.book.said["compare"].update(frames=0)),
    "the shadow fails": ("in the shadow", lambda day, _: day.book.said["compare"].update(failed={"geometry": 1})),
    "the rollback is without effect": (
        "after the rollback",
        lambda _, evening: replace(
            evening, verdicts=[changed(one, digest="aliens-2") if one.camera == LEFT.key else one for one in evening.verdicts]
        ),
    ),
    "the record is broken": ("inspector audit verify", lambda day, _: day.book.statuses.update(audit=1)),
    "a picture is not kept": ("every picture is kept", lambda day, _: day.book.said.update(archived=399)),
    "index and files disagree": ("every picture is kept", lambda day, _: day.book.statuses.update({"archive verify": 1})),
    "the new model is worse": ("is not worse", lambda day, _: day.book.statuses.update(retrain=1)),
    "a picture is gone": ("a backtest judges", lambda day, _: day.book.said["backtest"].update(gone=1)),
    "there is no backtest": ("a backtest judges", lambda day, _: day.book.said.__delitem__("backtest")),
    "an alert does not fire": ("CameraSilent fires", lambda day, _: day.firing.clear()),
    "an alert fired before its fault alone": (
        "CameraSilent fires",
        lambda day, _: setattr(day, "firing", [(SILENT, [DAY_S + 60])]),
    ),
    "it fired before its fault and goes on": (
        "CameraSilent fires",
        lambda day, _: setattr(day, "firing", [(SILENT, [DAY_S + at for at in range(100, 122)])]),
    ),
    "it fires long after the fault was mended": (
        "CameraSilent fires",
        lambda day, _: setattr(day, "firing", [(SILENT, [DAY_S + 200])]),
    ),
    "it fires for another camera": (
        "CameraSilent fires",
        lambda day, _: setattr(day, "firing", [(SILENT | {"camera": "L/b"}, [DAY_S + 114])]),
    ),
    "a panel is empty": (
        "every panel",
        lambda day, _: setattr(
            day, "shots", {"line": [replace(day.shots["line"][0], answers=[replace(day.shots["line"][0].answers[0], series=[])])]}
        ),
    ),
    "a process ends badly": ("ends in order", lambda day, _: day.plant.ended_badly.append("archive ended with status 1")),
    "it takes too long": ("in 10 minutes", lambda day, _: day.stage.seconds.update(total=601.0)),
}  # fmt: skip


@pytest.mark.parametrize("flaw", FLAWS)
def test_each_flaw_misses_its_promise(flaw: str, day: Day, evening: Evening) -> None:
    words, spoil = FLAWS[flaw]
    found = missed(day, spoil(day, evening) or evening)
    assert any(words in promise for promise in found), found


def test_an_alert_counts_from_its_fault_on_and_ends_with_its_span(day: Day) -> None:
    day.firing = [(SILENT, [DAY_S + at for at in (60, 61, 114, 115, 116, 150)])]
    (alarm,) = alarms_of(day)
    assert (alarm.fired_s, alarm.last_s) == (DAY_S + 114, DAY_S + 116)


def test_the_page_tells_the_day(day: Day, evening: Evening) -> None:
    judge_day(day, evening)
    page = render(day, evening)
    assert "400 frames, none missing, none out of order" in page
    assert "promises missed" not in page
    assert "swap &lt;b&gt;" in page
    assert page.count("<svg") == 6, "three charts, each for two widths"
    assert "data:image/png;base64," in page
    assert not [address for address in ("<script", 'src="http', "url(") if address in page]


def test_the_page_of_a_day_that_went_wrong_begins_with_what_was_missed(day: Day, evening: Evening) -> None:
    day.book.statuses["retrain"] = 1
    del day.book.said["backtest"], day.book.fits["aliens-3"]
    bad = replace(evening, findings=Findings(frames=400, missing=["one"]))
    judge_day(day, bad)
    page = render(day, bad)
    assert "3 of" in page.partition("promises missed")[0][-60:]
    assert "1 missing" in page
    assert "was refused" in page
