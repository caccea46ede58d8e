"""What the day has to show, as rows: promise, figure, held or missed."""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Mapping
from typing import Any, NamedTuple

from inspector.anomaly.model.manifest import MANIFEST_NAME
from tests.chaos.campaigns.swaps import WITHIN_MS
from tests.chaos.verdicts import add_rows
from tests.e2e.factory.day import Day
from tests.e2e.factory.findings import CanaryFigures, Evening, camera_figures, canary_figures, spans_of
from tests.e2e.factory.line import CAMERAS, LEFT, RIGHT
from tests.e2e.factory.models import CANARY_PERCENT, FIRST, SECOND, THIRD
from tests.monitoring.rules import PACE_S
from trainer.rates import binomial_rate
from trainer.wording import as_percent

MIN_FOUND = 0.9
MIN_IN_TIME = 0.99
MOST_MINUTES = 10


class Alarm(NamedTuple):
    """What became of a provoked fault: when (s since 1970) its alert fired, and when it was last seen firing."""

    fault: str
    alert: str
    at_s: float
    mended_s: float
    fired_s: float | None
    last_s: float | None


def alarms_of(day: Day) -> list[Alarm]:
    """Return what became of each fault; an alert counts that has its labels, and that begins between fault and mend."""
    found = []
    for one in day.book.provoked:
        wanted = {"alertname": one.alert, **one.labels}
        times = [at for labels, ats in day.firing if wanted.items() <= labels.items() for at in ats]
        step_s = 5.0 * PACE_S
        spans = [span for span in spans_of(times, apart_s=step_s) if one.at_s <= span[0] <= one.mended_s + step_s]
        fired, last = spans[0] if spans else (None, None)
        found.append(Alarm(one.fault, one.alert, one.at_s, one.mended_s, fired, last))
    return found


def canary_of(day: Day, evening: Evening) -> CanaryFigures:
    """Return who judged the canary's parts."""
    return canary_figures(
        evening.verdicts,
        RIGHT.key,
        day.book.when("canary judges"),
        percent=CANARY_PERCENT,
        candidate=digest_of(day, SECOND),
    )


def digest_of(day: Day, name: str) -> str:
    """Return by which digest releases and verdicts know a model that was fitted."""
    return hashlib.sha256((day.plant.places.bundle(name) / MANIFEST_NAME).read_bytes()).hexdigest()


def judge_day(day: Day, evening: Evening) -> None:
    """Hold the day against all promises; the rows go into its book."""
    _delivery(day, evening)
    _verdicts(day, evening)
    _exchanges(day, evening)
    _archive(day, evening)
    _alarms(day)
    _end(day)


def _delivery(day: Day, evening: Evening) -> None:
    day.book.chapter = "delivery"
    add_rows(day.book, evening.findings)


def _verdicts(day: Day, evening: Evening) -> None:
    book = day.book
    book.chapter = "verdicts"
    for product in dict.fromkeys(camera.product for camera in CAMERAS):
        keys = [camera.key for camera in CAMERAS if camera.product == product]
        found = camera_figures(one for one in evening.verdicts if one.camera in keys)
        caught = binomial_rate(found.bad - found.bad_passed, found.bad)
        book.row(
            f"{product.title}: of the bad parts at least {as_percent(MIN_FOUND)} are rejected",
            trials=found.bad,
            figure=f"{caught.count} of {caught.total} ({as_percent(caught.rate or 0.0)})",
            held=bool(found.bad) and caught.count >= MIN_FOUND * caught.total,
        )
        bound = float(book.fits[product.model]["false_reject_bound"])
        book.row(
            f"{product.title}: of the good parts no more are rejected than the fit stated as its bound, {as_percent(bound)}",
            trials=found.good,
            figure=f"{found.good_rejected} of {found.good} ({as_percent(found.good_rejected / (found.good or 1))})",
            held=bool(found.good) and found.good_rejected <= bound * found.good,
        )
    calm = evening.within(book.when("first shift"))
    in_time = sum(one.is_in_time for one in calm)
    book.row(
        f"in the first shift at least {as_percent(MIN_IN_TIME)} of the verdicts come in time",
        trials=len(calm),
        figure=f"{in_time} of {len(calm)}",
        held=bool(calm) and in_time >= MIN_IN_TIME * len(calm),
    )


def _exchanges(day: Day, evening: Evening) -> None:
    book = day.book
    book.chapter = "models"
    refused = [one for one in evening.told if one["action"] == "refused"]
    book.row(
        "every release is applied by both inspectors",
        trials=len(book.changes),
        figure=f"{len(book.changes)} orders, {len(refused)} refusals",
        held=bool(book.changes) and not refused,
        refused=[str(one["detail"]) for one in refused],
    )
    around, elsewhere = evening.gaps_ms(book.when("first shift"))
    book.row(
        "around an exchange a camera is silent no longer than without one, by 1 s at most",
        trials=len(around),
        figure=f"longest {max(around):.0f} ms, median {statistics.median(around):.0f}; elsewhere longest {max(elsewhere):.0f} ms, "
        f"median {statistics.median(elsewhere):.0f}",
        held=0 < max(around) <= max(elsewhere) + WITHIN_MS,
        gaps_ms=sorted(around),
    )
    _shadow(day, evening)
    canary = canary_of(day, evening)
    share = binomial_rate(canary.tried, canary.parts)
    book.row(
        "the canary judges its parts, all of them, and no others",
        trials=canary.parts,
        figure=f"{canary.tried} of {canary.parts} parts ({as_percent(share.rate or 0.0)} of {CANARY_PERCENT} %), {canary.strayed} by the wrong model",
        held=canary.tried > 0 and canary.strayed == 0,
    )
    back = book.when("rollback")
    after = [one for one in evening.within(back) if one.camera == LEFT.key and one.captured_s > back.end_s - 3]
    judges = {one.digest for one in after if one.status == "inspected"}
    book.row(
        "after the rollback the model before judges again",
        trials=len(after),
        figure=f"{len(after)} parts by {len(judges)} model",
        held=judges == {digest_of(day, FIRST)},
    )
    book.row(
        "the record of all releases is whole (inspector audit verify)",
        trials=len(evening.told),
        figure=f"{len(evening.told)} records, status {book.statuses.get('audit')}",
        held=book.statuses.get("audit") == 0,
    )


def _shadow(day: Day, evening: Evening) -> None:
    """A model in the shadow says what it would have said, and none of it counts."""
    compared = day.book.said["compare"]
    during = [one for one in evening.within(day.book.when("shadow scores")) if one.camera == RIGHT.key]
    by_it = sum(one.digest == digest_of(day, SECOND) for one in during)
    day.book.row(
        "a model in the shadow scores what the camera sends, and judges nothing",
        trials=len(during),
        figure=f"{compared['frames']} frames compared, {compared['unseen']} left out for the line, {len(compared['differences'])} other "
        f"verdicts; {by_it} judged by it",
        held=bool(during) and compared["frames"] > 0 and not compared["failed"] and by_it == 0,
    )


def _archive(day: Day, evening: Evening) -> None:
    book = day.book
    book.chapter = "archive"
    wanted = [one for one in evening.within(book.when("first shift")) if one.status == "inspected"]
    stored = book.said["archived"]
    book.row(
        "of the first shift every picture is kept, and the index agrees with the files",
        trials=len(wanted),
        figure=f"{stored} of {len(wanted)} pictures; --verify: status {book.statuses.get('archive verify')}",
        held=stored == len(wanted) > 0 and book.statuses.get("archive verify") == 0,
    )
    book.row(
        "a model learns from the archive, and is not worse than the one in use",
        trials=1,
        figure=_compared(book.fits[THIRD]) if THIRD in book.fits else "refused",
        held=book.statuses.get("retrain") == 0,
    )
    _backtest(day)


def _backtest(day: Day) -> None:
    promise = "a backtest judges every picture of the other camera's past"
    found = day.book.said.get("backtest")
    if found is None:
        day.book.row(promise, trials=0, figure="there is no model to try", held=False)
        return
    unjudged = [one for one in found["differences"] if one["error"]]
    figure = f"{found['images']} pictures, {found['gone']} gone, {len(found['differences'])} other verdicts"
    day.book.row(promise, trials=found["images"], figure=figure, held=not found["gone"] and not unjudged)


def _compared(fit: Mapping[str, Any]) -> str:
    """Say how the two did on the test images of the archive."""
    found = fit["comparison"]
    errors = [
        f"of {one['total']} {label} {one['only_first'] + one['both']} wrong, the one in use {one['only_second'] + one['both']}"
        for label, one in (("ok", found["false_rejects"]), ("nok", found["misses"]))
        if one is not None
    ]
    return f"learnt from {fit['n_train']} pictures; {'; '.join(errors)}"


def _alarms(day: Day) -> None:
    day.book.chapter = "alerts"
    for alarm in alarms_of(day):
        took = "never" if alarm.fired_s is None else f"fired after {alarm.fired_s - alarm.at_s:.0f} s"
        day.book.row(
            f"{alarm.fault}: {alarm.alert} fires",
            trials=1,
            figure=took,
            held=alarm.fired_s is not None,
        )
    answers = [answer for shots in day.shots.values() for shot in shots for answer in shot.answers]
    filled = sum(bool(answer.series) for answer in answers)
    silent = [
        f"{name}, {shot.panel.title}"
        for name, shots in day.shots.items()
        for shot in shots
        if not any(answer.series for answer in shot.answers)
    ]
    day.book.row(
        "every panel of the four dashboards shows data",
        trials=len(answers),
        figure=f"{filled} of {len(answers)} queries have data{': none in ' + '; '.join(silent) if silent else ''}",
        held=bool(answers) and not silent,
    )


def _end(day: Day) -> None:
    day.book.chapter = "day"
    badly = day.plant.ended_badly
    day.book.row(
        "everything ends in order when it is asked to",
        trials=1,
        figure="; ".join(badly) or "status 0",
        held=not badly,
    )
    seconds = day.stage.seconds["total"]
    day.book.row(
        f"from nothing to the evening in {MOST_MINUTES} minutes",
        trials=1,
        figure=f"{int(seconds // 60)} min {seconds % 60:.0f} s",
        held=seconds < 60 * MOST_MINUTES,
    )
