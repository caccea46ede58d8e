"""report.html: the day for people who were not there. One file that needs nothing beside it, without a script."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import deploy.demo.views
from deploy.demo.summary import machine
from inspector.anomaly.files import write_file
from tests.chaos.report import WORDS
from tests.e2e.factory.charts import alerts_chart, day_chart, gaps_chart
from tests.e2e.factory.day import Day
from tests.e2e.factory.findings import CameraFigures, Evening, Verdict, camera_figures, spans_of
from tests.e2e.factory.line import BUDGET_MS, CAMERAS, Camera
from tests.e2e.factory.models import CANARY_PERCENT, THIRD
from tests.e2e.factory.promises import Alarm, alarms_of, canary_of
from tests.monitoring.rules import PACE_S
from tests.monitoring.sheet import draw_dashboard
from trainer.display.picture import data_uri
from trainer.pictures.files import read_picture
from trainer.wording import as_percent

NOT_DRAWN = ("first shift", "second shift", "shadow scores", "canary judges")
"""Periods that hold others, or lie in them."""
TILE_SIDE, PICTURE_SIDE = 260, 360
DIFFERENCES = 6


@dataclass(frozen=True)
class Tile:
    """A part with its verdict; `kind` is what it is."""

    picture: str
    camera: str
    kind: str
    verdict: Verdict

    @property
    def is_right(self) -> bool:
        """Whether the verdict is what the part is."""
        return self.verdict.anomaly_class == self.kind


@dataclass(frozen=True)
class CameraRow:
    """A camera's day."""

    camera: Camera
    figures: CameraFigures


def write_page(day: Day, evening: Evening, path: Path) -> None:
    """Write the page."""
    write_file(path, render(day, evening).encode())


def render(day: Day, evening: Evening) -> str:
    """Return the page as HTML."""
    folders = [Path(__file__).parent / "templates", Path(deploy.demo.views.__path__[0]) / "templates"]
    environment = Environment(
        loader=FileSystemLoader(folders),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"percent": as_percent, "clock": _clock}
    book = day.book
    periods = sorted((one for one in book.periods if one.title not in NOT_DRAWN), key=lambda one: one.begin_s)
    around, elsewhere = evening.gaps_ms(book.when("first shift"))
    alarms = alarms_of(day)
    calm = camera_figures(evening.within(book.when("first shift")))
    # The modules of charts escape what they are given, and nothing in it comes from elsewhere.
    return environment.get_template("factory.html.jinja").render(
        rows=book.rows,
        missed=[row for row in book.rows if row.held is False],
        words=WORDS,
        findings=evening.findings,
        cameras=camera_rows(evening),
        calm=calm,
        periods=periods,
        day_chart=Markup(day_chart(evening.verdicts, periods, budget_ms=BUDGET_MS)),  # noqa: S704
        gaps_chart=Markup(gaps_chart(around, elsewhere)),  # noqa: S704
        longest_gap_ms=max(around),
        usual_gap_ms=max(elsewhere),
        changes=book.changes,
        canary=canary_of(day, evening),
        canary_percent=CANARY_PERCENT,
        compared=book.said["compare"],
        shadow_table=verdict_table(book.said["compare"], "counted", "shadow"),
        tiles=tiles_of(day, evening),
        retrained=book.fits.get(THIRD),
        backtest=book.said.get("backtest"),
        verdict_table=verdict_table(book.said.get("backtest"), "recorded", "tried"),
        differences=differences_of(day),
        archived=book.said["archived"],
        alarms=alarms,
        alerts_chart=Markup(alerts_chart(alarms, others_of(day, alarms))),  # noqa: S704
        pace_s=PACE_S,
        dashboards=[(name, _png(name, day)) for name in day.shots],
        budget_s=BUDGET_MS / 1000,
        broker=day.broker.name if day.broker else "",
        machine=machine(),
        seconds=day.stage.seconds,
        commands=[command.split(" ") for command in day.stage.commands],
        created_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
    )


def camera_rows(evening: Evening) -> list[CameraRow]:
    """Return each camera's day."""
    return [
        CameraRow(camera, camera_figures(one for one in evening.verdicts if one.camera == camera.key))
        for camera in CAMERAS
    ]


def tiles_of(day: Day, evening: Evening) -> list[Tile]:
    """Return of each camera a good and a bad part of the first shift, the first ones that were judged."""
    tiles = []
    judged = [one for one in evening.within(day.book.when("first shift")) if one.status == "inspected"]
    for camera in CAMERAS:
        for kind in ("ok", "nok"):
            verdict = next((one for one in judged if one.camera == camera.key and one.kind == kind), None)
            if verdict is not None:
                file = day.plant.places.belt(camera) / f"{verdict.part_id.rpartition('-')[0]}.jpg"
                tiles.append(Tile(data_uri(read_picture(file).image, side=TILE_SIDE), camera.camera_id, kind, verdict))
    return tiles


def verdict_table(told: Mapping[str, Any] | None, first: str, second: str) -> dict[tuple[str, str], int]:
    """Return how many pictures have which verdict of the `first` model and which of the `second`, as the command names them."""
    found = dict.fromkeys([(then, now) for then in ("ok", "nok") for now in ("ok", "nok")], 0)
    for one in told["verdicts"] if told else ():
        found[one[first], one[second]] += one["count"]
    return found


def differences_of(day: Day) -> list[tuple[Mapping[str, Any], str]]:
    """Return what the backtest differs most on, with the picture that it drew of each."""
    found = []
    for one in (day.book.said.get("backtest") or {"differences": []})["differences"][:DIFFERENCES]:
        drawn = sorted((day.plant.places.backtest / one["change"]).glob(f"{PurePosixPath(one['name']).stem}*"))
        if drawn:
            found.append((one, data_uri(read_picture(drawn[0]).image, side=PICTURE_SIDE)))
    return found


def others_of(day: Day, alarms: Sequence[Alarm]) -> dict[str, list[tuple[float, float]]]:
    """Return the alerts that nobody provoked by intent, from the first fault on, with their spans."""
    provoked = {alarm.alert for alarm in alarms}
    begin_s = min(alarm.at_s for alarm in alarms)
    found: dict[str, list[float]] = {}
    for labels, times in day.firing:
        if labels["alertname"] not in provoked:
            found.setdefault(labels["alertname"], []).extend(at for at in times if at >= begin_s)
    return {title: spans_of(times, apart_s=3.0 * PACE_S) for title, times in sorted(found.items()) if times}


def _png(name: str, day: Day) -> str:
    file = day.stage.out / f"dashboard-{name}.png"
    draw_dashboard(name, day.shots[name], file)
    return f"data:image/png;base64,{base64.b64encode(file.read_bytes()).decode()}"


def _clock(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%H:%M:%S}"
