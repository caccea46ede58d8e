"""Dashboards and alerts in Prometheus itself: it scrapes two inspectors under load, and faults are provoked."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Set as AbstractSet
from pathlib import Path

import pytest

from deploy.local.prometheus import Prometheus, running_prometheus
from tests.monitoring.panels import NAMES
from tests.monitoring.plant import CAMERAS, Plant
from tests.monitoring.rules import PACE_S, WINDOWS, all_rules, write_configuration
from tests.monitoring.sheet import draw_sheet
from tests.monitoring.shots import Shot, choices, take_shots
from tests.prometheus import required_program

pytestmark = pytest.mark.slow

PATIENCE_S = 60 * PACE_S
PROVOKED = {
    "InspectorDeadLetters",
    "InspectorModelMismatch",
    "InspectorOnTimeBurnsFast",
    "InspectorOnTimeBurnsSlowly",
    "InspectorSecondWriter",
    "CameraClockAhead",
    "CameraClockBehind",
    "CameraRejectRateJump",
    "CameraSilent",
}
LATER = ("InspectorMemoryNearBound", "InspectorLagGrows", "InspectorDown", "InspectorUnready")
"""One after the other, since each changes what the others see."""
SLOW = {"InspectorRestartLoop"}
"""It needs processes that end: deploy/prometheus/tests makes it fire, here its series are there."""


async def ask(prometheus: Prometheus, expr: str) -> list[dict[str, str]]:
    return [series.labels for series in await asyncio.to_thread(prometheus.query, expr)]


async def lately(prometheus: Prometheus, series: str) -> list[dict[str, str]]:
    """The labels of series that were there within the last minute, also where the last scrape of a busy process came to nothing."""
    return await ask(prometheus, f"last_over_time({series}[{60 * PACE_S}s])")


async def until_fired(prometheus: Prometheus, names: AbstractSet[str]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    fired: set[str] = set()
    while not names <= fired:
        assert time.monotonic() < give_up, f"never fired: {names - fired}"
        await asyncio.sleep(0.5)
        fired |= {labels["alertname"] for labels in await ask(prometheus, 'ALERTS{alertstate="firing"}')}


async def until_usual(prometheus: Prometheus) -> None:
    """Wait until what is usual is known of every camera, which a jump is compared with."""
    usual = f'job_camera:inspector_reject_ratio:upper6h{{camera!="other"}} offset {WINDOWS["15m"] * PACE_S}s'
    give_up = time.monotonic() + PATIENCE_S
    while len(await ask(prometheus, usual)) < len(CAMERAS):
        assert time.monotonic() < give_up, "a camera is not judged"
        await asyncio.sleep(0.5)


async def check_rules(prometheus: Prometheus) -> None:
    for rule in await asyncio.to_thread(prometheus.rules):
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule["name"]
    for rule in all_rules():
        for name in re.findall(r"\b(?:(?:job|instance|job_camera):[\w:]+|(?:inspector|process)_\w+)\b", rule["expr"]):
            assert await lately(prometheus, name), (
                f"{rule.get('record', rule.get('alert'))} asks for {name}, of which there is none"
            )
        if "record" in rule:
            assert await lately(prometheus, rule["record"]), f"{rule['record']} records nothing"


async def check_alerts(prometheus: Prometheus) -> None:
    firing = [alert for alert in await asyncio.to_thread(prometheus.alerts) if alert["state"] == "firing"]
    assert firing
    for alert in firing:
        name = alert["labels"]["alertname"]
        link = alert["annotations"].pop("runbook_url")
        assert link.startswith("https://")
        assert link.endswith(f"/{name}.md")
        for text in alert["annotations"].values():
            assert "{{" not in text
            assert "error" not in text, text
            assert "<no value>" not in text, text


async def check_panels(prometheus: Prometheus, begin_s: float) -> dict[str, list[Shot]]:
    shots = await asyncio.to_thread(take_shots, prometheus, begin_s, time.time())
    empty = [
        f"{name}, {shot.panel.title}: {answer.target.expr}"
        for name in NAMES
        for shot in shots[name]
        for answer in shot.answers
        if not answer.series
    ]
    assert empty == []
    for name in NAMES:
        for series, label in choices(name):
            found = await lately(prometheus, series)
            assert found, f"{name} offers nothing to choose from: {series}"
            assert all(label in labels for labels in found)
    return shots


async def test_every_panel_shows_data_and_every_alert_fires_that_can_be_provoked_within_seconds(tmp_path: Path) -> None:
    required_program("prometheus")
    plant = Plant(tmp_path / "cache")
    async with plant.running():
        with running_prometheus(write_configuration(tmp_path, plant.targets), tmp_path) as prometheus:
            begin_s = time.time()
            await until_usual(prometheus)
            plant.is_faulty = True
            await until_fired(prometheus, PROVOKED)
            await check_rules(prometheus)
            await check_alerts(prometheus)
            shots = await check_panels(prometheus, begin_s)
            for provoke, alert in zip(
                (plant.leak, plant.hold_verdicts, plant.stop_second, plant.delete_frames), LATER, strict=True
            ):
                provoke()
                await until_fired(prometheus, {alert})
                plant.release_verdicts()
    draw_sheet(shots, tmp_path / "sheet.png")
    assert (tmp_path / "sheet.png").stat().st_size > 50_000
    alerts = {rule["alert"] for rule in all_rules() if "alert" in rule}
    assert alerts == PROVOKED | {*LATER} | SLOW, "a new alert is to be provoked, too"
