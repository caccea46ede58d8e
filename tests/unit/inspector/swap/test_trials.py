"""Trials in the shadow: begun when they can be, tried again where that may help, ended without touching what judges."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from typing_extensions import override

from inspector.bundles.errors import BundleStoreError
from inspector.errors import ConfigError
from inspector.inflight.registry import Registry, load_routes
from inspector.inflight.route import Model, Route
from inspector.settings.settings import CameraSettings, Settings
from inspector.swap.marks import TrialMarks
from inspector.swap.metrics import ReleaseMetrics
from inspector.swap.switch import Switch
from inspector.swap.tell import OutcomeTeller
from inspector.swap.trials import Trials
from schemas import BundleReference, Candidate, ModelRelease
from schemas.releases.audit import OutcomeAction
from tests.fakes import FakeBroker, FakeClock, FakeModel, FakeProducer
from tests.releases import THRESHOLDS, bundle, digest_of, release
from tests.virtual_time import run_virtually

CAMERA = "line/a"


class Told(OutcomeTeller):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Settings(), FakeProducer(FakeBroker({})), FakeClock())
        self.heard: list[tuple[str, int, str]] = []

    @override
    def tell(self, release: ModelRelease, action: OutcomeAction, detail: str = "") -> None:
        self.heard.append((action, release.number, detail))


class Desk:
    """A camera's registry and switch, with a store that may be away."""

    def __init__(self, folder: Path) -> None:
        cameras = [CameraSettings(line_id="line", camera_id="a", model="m")]
        self.registry: Registry = load_routes(
            {"m": Path("m")}, cameras, lambda _path: FakeModel(THRESHOLDS), digests={}, default_budget_us=1
        )
        self.error: Exception | None = None
        self.loads: list[float] = []
        self.asked: list[tuple[str, str | None, float | None]] = []
        """Which model was asked for, which was here already, and the longest that a frame may take."""
        self.tried_meanwhile: list[str | None] = []
        """What was on trial while a model was loaded."""
        self.switch = Switch(self.registry, self._load)
        self.told, self.metrics = Told(), CollectorRegistry()
        self.marks = TrialMarks(folder)
        self.trials = Trials(
            self.switch,
            teller=self.told,
            metrics=ReleaseMetrics(self.metrics, [CAMERA]),
            marks=self.marks,
            on_thread=self._at_once,
        )

    async def _at_once(self, job: Callable[[], None]) -> None:
        job()

    async def _load(
        self, reference: BundleReference, *, tried: Model | None = None, longest_s: float | None = None
    ) -> Model:
        self.loads.append(asyncio.get_running_loop().time())
        self.asked.append((reference.model.digest[0], None if tried is None else tried.digest[0], longest_s))
        self.tried_meanwhile.append(self.tried())
        if self.error is not None:
            raise self.error
        if tried is not None:
            return tried
        model = FakeModel(THRESHOLDS)
        model.digest = reference.model.digest
        return model

    async def release(self, number: int, candidate: str | None) -> ModelRelease:
        """Apply a release that leaves the settings' model, and has this one on trial."""
        tried = None if candidate is None else Candidate(bundle=bundle(candidate), role="shadow")
        made = release("a", number, None, candidate=tried)
        await self.switch.apply(made)
        self.trials.want(made)
        return made

    async def for_seconds(self, seconds: int) -> None:
        for _ in range(seconds):
            await self.trials.apply_due()
            await asyncio.sleep(1)

    def tried(self) -> str | None:
        route: Route | None = self.registry.shadow(CAMERA)
        return None if route is None else route.reference.digest[0]

    def refused(self, reason: str) -> float:
        labels = {"camera": CAMERA, "reason": reason}
        return self.metrics.get_sample_value("inspector_releases_refused_total", labels) or 0


def virtually(scene: Coroutine[Any, Any, None]) -> None:
    run_virtually(scene)


def test_a_store_that_does_not_answer_is_asked_again_and_told_of_once(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        desk.error = BundleStoreError("unreachable", "the store does not answer")
        await desk.release(1, "b")
        await desk.for_seconds(20)
        assert desk.loads == [0, 5, 15], "the pause doubles"
        assert [action for action, _, _ in desk.told.heard] == ["refused"]
        assert (desk.tried(), desk.refused("unreachable")) == (None, 3)
        desk.error = None
        await desk.for_seconds(20)
        assert desk.tried() == "b"
        assert desk.told.heard[-1] == ("applied", 1, "shadow: it scores beside the model that judges")

    virtually(scene())


def test_what_is_wrong_for_good_is_not_tried_again_and_the_release_judges_all_the_same(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        desk.error = BundleStoreError("digest", "it is another")
        await desk.release(1, "b")
        await desk.for_seconds(100)
        assert (len(desk.loads), desk.switch.number(CAMERA)) == (1, 1)

    virtually(scene())


def test_a_later_release_takes_an_earlier_trial_back_before_it_has_begun(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.release(2, None)
        await desk.for_seconds(3)
        assert (desk.loads, desk.tried()) == ([], None)

    virtually(scene())


def test_a_trial_that_cannot_go_on_ends_alone_and_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        judge = desk.registry.route("line", "a")
        desk.trials.end(route, "it is too slow")
        assert desk.tried() is None
        assert desk.registry.route("line", "a") is judge
        assert desk.told.heard[-1] == ("refused", 1, "shadow: the trial alone, the release judges: it is too slow")
        assert desk.refused("shadow") == 1
        await desk.for_seconds(100)
        assert desk.tried() is None, "not before the next release"

    virtually(scene())
    assert "the one that judges goes on" in caplog.text


def test_what_a_trial_that_was_replaced_fails_at_does_not_end_the_next_one(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        old = desk.registry.shadow(CAMERA)
        assert old is not None
        await desk.release(2, "c")
        await desk.for_seconds(1)
        desk.trials.end(old, "its fifth frame failed")
        assert desk.tried() == "c"
        assert (desk.told.heard[-1][:2], desk.refused("shadow")) == (("applied", 2), 0)

    virtually(scene())


def test_a_trial_that_a_release_does_not_name_is_gone_before_that_ones_models_are_loaded(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert desk.tried() == "b"
        await desk.switch.apply(release("a", 2, "c"))
        assert desk.tried_meanwhile == [None, None]
        assert desk.registry.routes[0].reference.digest == digest_of("c")

    virtually(scene())


def test_a_frame_of_a_trial_may_take_a_quarter_of_the_shortest_budget_and_what_judges_is_not_timed(
    tmp_path: Path,
) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        tried = Candidate(bundle=bundle("c"), role="shadow")
        made = release("a", 1, "b", candidate=tried, budget_us=400_000)
        await desk.switch.apply(made)
        await desk.switch.try_out(made)
        assert desk.asked == [("b", None, None), ("c", None, 0.1)]

    virtually(scene())


def test_a_model_on_trial_that_is_to_judge_is_not_loaded_again_but_warmed_up_for_batches_once(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        await desk.switch.apply(release("a", 2, "b"))
        assert desk.registry.routes[0].model is route.model
        assert desk.tried() is None
        await desk.switch.apply(release("a", 3, "b", budget_us=7))
        assert [(letter, tried) for letter, tried, _ in desk.asked] == [("b", None), ("b", "b")]

    virtually(scene())


def test_a_trial_that_ended_for_a_release_which_is_no_good_begins_again(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        desk.error = BundleStoreError("digest", "it is another")
        with pytest.raises(BundleStoreError):
            await desk.switch.apply(release("a", 2, "c"))
        assert desk.tried() is None
        desk.error = None
        desk.trials.resume(CAMERA)
        await desk.for_seconds(1)
        assert desk.tried() == "b"

    virtually(scene())


def test_a_trial_that_was_given_up_does_not_begin_again_with_a_release_that_is_no_good(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert desk.trials.end_all("the line lacks memory")
        assert not desk.trials.end_all("the line lacks memory"), "there is none any more"
        assert desk.told.heard[-1] == (
            "refused",
            1,
            "shadow: the trial alone, the release judges: the line lacks memory",
        )
        desk.trials.resume(CAMERA)
        await desk.for_seconds(1)
        assert desk.tried() is None

    virtually(scene())


def test_a_model_that_is_on_trial_goes_on_through_a_release_that_keeps_it(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        route = desk.registry.shadow(CAMERA)
        await desk.release(2, "b")
        assert desk.registry.shadow(CAMERA) is route, "not for a moment without it"
        await desk.for_seconds(1)
        assert (desk.registry.shadow(CAMERA), len(desk.loads)) == (route, 1)
        await desk.release(3, "c")
        assert desk.tried() is None
        await desk.for_seconds(1)
        assert desk.tried() == "c"
        assert digest_of("c") in {model.digest for model in desk.registry.models}

    virtually(scene())


def test_a_trial_that_took_its_process_with_it_does_not_begin_again_until_a_newer_release(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hanging = multiprocessing.get_context("spawn").Process(target=die_in_a_trial, args=(tmp_path,))
    hanging.start()
    hanging.join()
    assert hanging.exitcode == 11

    async def scene() -> None:
        starts = [Desk(tmp_path), Desk(tmp_path)]
        for desk in starts:
            await desk.release(1, "b")
            await desk.for_seconds(3)
            assert (desk.loads, desk.tried(), desk.refused("shadow")) == ([], None, 1)
            ((action, number, why),) = desk.told.heard
            assert (action, number, "the trial alone, the release judges: a process ended" in why) == (
                "refused",
                1,
                True,
            )
        desk = Desk(tmp_path)
        await desk.release(2, "b")
        await desk.for_seconds(1)
        assert desk.tried() == "b"

    virtually(scene())
    assert "release the model again" in caplog.text


def die_in_a_trial(folder: Path) -> None:
    """Begin a trial of release 1 and end as the watchdog ends a process whose device hangs."""

    async def scene() -> None:
        desk = Desk(folder)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        os._exit(11 if desk.tried() == "b" else 1)

    virtually(scene())


@pytest.mark.parametrize("end", ["fails", "released", "process"])
def test_a_trial_that_ended_leaves_no_mark(tmp_path: Path, end: str) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        (mark,) = (tmp_path / "trials").iterdir()
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        if end == "fails":
            desk.trials.end(route, "it fails")
        elif end == "released":
            await desk.release(2, "c")
        else:
            desk.marks.leave(is_fault=False)
        await desk.for_seconds(0 if end == "process" else 1)
        assert not mark.exists()

    virtually(scene())


def test_the_mark_of_a_process_that_lives_says_nothing_against_a_trial(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        other = Desk(tmp_path)
        await other.release(1, "b")
        await other.for_seconds(1)
        assert (desk.tried(), other.tried()) == ("b", "b")

    virtually(scene())


def test_a_mark_that_cannot_be_written_puts_the_trial_off(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        (tmp_path / "trials").rmdir()
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert (desk.tried(), desk.refused("no_room")) == (None, 1)
        (tmp_path / "trials").mkdir()
        await desk.for_seconds(6)
        assert desk.tried() == "b"

    virtually(scene())


def test_a_mark_that_says_nothing_is_removed_and_a_folder_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    (folder / "1.trial").write_bytes(b"[1")
    TrialMarks(tmp_path)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"releases\.cache"):
        TrialMarks(tmp_path / "file")
