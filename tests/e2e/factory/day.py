"""The day of the factory, from nothing to a second shift with faults: the order of everything."""

from __future__ import annotations

import time

import pyarrow.parquet as pq

from deploy.demo.stage import Stage
from deploy.local.base import Broker
from tests.e2e.factory.book import Book
from tests.e2e.factory.faults import Saboteur
from tests.e2e.factory.line import CAMERAS, LEFT, inspector_command
from tests.e2e.factory.models import THIRD, Engineer
from tests.e2e.factory.parts import write_belt
from tests.e2e.factory.plant import Plant
from tests.monitoring.shots import Shot, take_shots

PARTS, NOK_SHARE = 120, 0.2
"""Of each belt, which goes round."""
CALM_S, SHADOW_S, CANARY_S = 20.0, 20.0, 25.0
"""How long the line runs undisturbed, and how long a model is tried in the shadow, and as a canary."""


class Day:
    """One run. `play` does everything; what is found goes into the book, and what flowed stays in the topics until `close`.

    Attributes:
        broker: once it runs.
        shots: what Prometheus answers to every query of every dashboard, in the evening.
        firing: names and labels of alerts with the times (s since 1970) at which they fired.
    """

    def __init__(self, stage: Stage, *, rate: float) -> None:
        """Prepare a run in the stage's folder."""
        self.stage, self.book = stage, Book()
        self.plant = Plant(stage, rate=rate)
        self.engineer = Engineer(self.plant, self.book)
        self._saboteur = Saboteur(self.plant, self.book)
        self.broker: Broker | None = None
        self.shots: dict[str, list[Shot]] = {}
        self.firing: list[tuple[dict[str, str], list[float]]] = []

    def play(self) -> None:
        """Run all steps.

        Raises:
            DemoError: A step failed; what was found so far is in the book.
        """
        self.stage.logs.mkdir(parents=True)
        self._learn()
        self._open()
        self._first_shift()
        self._between()
        self._second_shift()
        self._evening()

    def _learn(self) -> None:
        self.stage.heading("Learn what an ok part looks like")
        with self.stage.step("learn"):
            self.engineer.learn()
            for number, camera in enumerate(CAMERAS):
                belt = self.plant.places.belt(camera)
                write_belt(camera.product, belt, parts=PARTS, nok_share=NOK_SHARE, seed=number)

    def _open(self) -> None:
        self.stage.heading("Open: broker, two inspectors, archive, Prometheus")
        with self.stage.step("open"):
            self.broker = self.plant.open()
            self.engineer.first_release()

    def _first_shift(self) -> None:
        self.stage.heading("First shift: four cameras, and models that are exchanged under them")
        with self.stage.step("first shift"), self.book.period("first shift"), self.plant.flowing():
            with self.book.period("undisturbed"):
                self.plant.watch(CALM_S)
            with self.book.period("swaps", "change"):
                self.engineer.swap()
                self.plant.watch(3)
            with self.book.period("shadow", "change"):
                self.engineer.try_in_the_shadow(SHADOW_S)
            with self.book.period("canary", "change"):
                self.engineer.try_on_a_share(CANARY_S)
            with self.book.period("rollback", "change"):
                self.engineer.go_back()
                self.plant.watch(5)

    def _between(self) -> None:
        self.stage.heading("Between the shifts: the archive, a model that learns from it, a look back")
        with self.stage.step("archive"):
            self._settle_archive()
        with self.stage.step("retrain"):
            self.engineer.learn_again()
        if self.book.statuses["retrain"] == 0:
            with self.stage.step("backtest"):
                self.engineer.look_back()
        self.plant.archive.start()

    def _settle_archive(self) -> None:
        """Wait until the archive has read everything, stop it, and compare its index with its files."""
        plant = self.plant
        results = plant.count("results")
        plant.until(
            lambda: plant.archive.sample("inspector_archive_results_total") >= results, "the archive has dealt with all"
        )
        status = plant.archive.stop()
        if status != 0:
            plant.ended_badly.append(f"the archive ended with status {status}")
        verified, _ = self.engineer.try_command(
            "archive-verify", inspector_command("archive", plant.places, "--verify")
        )
        self.book.statuses["archive verify"] = verified
        rows = [
            row for file in plant.places.archive.rglob(".index/*.parquet") for row in pq.read_table(file).to_pylist()
        ]
        self.book.said["archived"] = sum(row["status"] == "inspected" for row in rows)

    def _second_shift(self) -> None:
        self.stage.heading("Second shift: the new model judges, and things go wrong")
        with self.stage.step("second shift"), self.book.period("second shift"), self.plant.flowing():
            if self.book.statuses["retrain"] == 0:
                with self.book.period("release from the archive", "change"):
                    self.engineer.release("the model from the archive", THIRD, (LEFT,))
                    self.plant.watch(3)
            for provoke in (
                self._saboteur.silence,
                self._saboteur.garble,
                self._saboteur.kill_inspector,
                self._saboteur.kill_broker,
            ):
                provoke()
                self.plant.watch(3)

    def _evening(self) -> None:
        self.stage.heading("Evening: the record, and what Prometheus has seen")
        with self.stage.step("evening"):
            self.engineer.verify()
            begin_s, end_s = self.book.when("first shift").begin_s, time.time()
            variables = {"line": LEFT.key.partition("/")[0], "camera": LEFT.key}
            self.shots = take_shots(self.plant.prometheus, begin_s, end_s, **variables)
            self.firing = [
                (series.labels, [at for at, _ in series.points])
                for series in self.plant.prometheus.query_range(
                    'ALERTS{alertstate="firing"}', begin_s=begin_s, end_s=end_s, step_s=1
                )
            ]
