"""A camera with its trials, for the tests of them: a store that may be away, and marks in a folder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry
from typing_extensions import override

from inspector.inflight.registry import Registry, load_routes
from inspector.inflight.route import Model, Route
from inspector.settings.settings import CameraSettings, Settings
from inspector.swap.marks import TrialMarks
from inspector.swap.metrics import ReleaseMetrics
from inspector.swap.switch import Switch
from inspector.swap.tell import OutcomeTeller
from inspector.swap.trials import Trials
from schemas import BundleReference, Candidate, ModelRelease
from schemas.releases.audit import OutcomeAction, TrialOutcome
from tests.fakes import FakeBroker, FakeClock, FakeModel, FakeProducer
from tests.releases import THRESHOLDS, bundle, release

CAMERA = "line/a"


class Told(OutcomeTeller):
    """Keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(Settings(), FakeProducer(FakeBroker({})), FakeClock())
        self.heard: list[tuple[str, int, str]] = []

    @override
    def tell(self, release: ModelRelease, action: OutcomeAction, detail: str = "") -> None:
        self.heard.append((action, release.number, detail))

    @override
    def tell_trial(self, release: ModelRelease, outcome: TrialOutcome, detail: str) -> None:
        self.heard.append((outcome, release.number, detail))


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
