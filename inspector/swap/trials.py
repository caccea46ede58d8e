"""Begins models on trial once the judging model is in place, ends them without touching it, and reports both."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from inspector.bundles.errors import BundleStoreError
from inspector.inflight.route import Route
from inspector.observe.fields import camera_fields
from inspector.swap.marks import MOST_TRIES, TrialMarks
from inspector.swap.metrics import ReleaseMetrics
from inspector.swap.refusal import RefusalReason, ReleaseRefusedError
from inspector.swap.switch import Switch
from inspector.swap.tell import OutcomeTeller
from schemas import ModelRelease
from schemas.releases.audit import TrialOutcome

log = logging.getLogger(__name__)

FIRST_PAUSE_S: Final = 5.0
LONGEST_PAUSE_S: Final = 60.0
"""Between two tries of a release whose bundle the store does not give: the pause doubles up to this."""


@dataclass(slots=True)
class Due:
    """A release of which something is still to be applied, and when that is tried next."""

    release: ModelRelease
    at_s: float
    pause_s: float = FIRST_PAUSE_S

    @property
    def is_first(self) -> bool:
        """Whether it has not been put off yet."""
        return self.pause_s == FIRST_PAUSE_S

    def put_off(self, now_s: float) -> None:
        """Try again after a pause, which doubles."""
        self.at_s = now_s + self.pause_s
        self.pause_s = min(2 * self.pause_s, LONGEST_PAUSE_S)


class Trials:
    """Trials in the shadow of each camera. Event loop only."""

    def __init__(
        self,
        switch: Switch,
        *,
        teller: OutcomeTeller,
        metrics: ReleaseMetrics,
        marks: TrialMarks,
        on_thread: Callable[[Callable[[], None]], Awaitable[None]],
    ) -> None:
        """Begin nothing before `apply_due`.

        Args:
            switch: lets models be tried.
            teller: of what became of each trial.
            metrics: the same, as series.
            marks: of trials that go on, and those that took a process with them.
            on_thread: runs what blocks.
        """
        self._marks, self._on_thread = marks, on_thread
        self._switch, self._teller, self._metrics = switch, teller, metrics
        self._due: dict[str, Due] = {}
        self._begun: dict[str, ModelRelease] = {}

    def want(self, release: ModelRelease) -> None:
        """Take note of a release that judges from now on: of what it has on trial, or that it ends what was."""
        candidate = release.models.candidate
        self._due.pop(release.camera, None)
        self._begun.pop(release.camera, None)
        if candidate is not None and candidate.role == "shadow":
            self._due[release.camera] = Due(release, asyncio.get_running_loop().time())

    async def apply_due(self) -> None:
        """Begin the trials that are due; one that cannot begin for good is given up, and what judges goes on."""
        going_on = {*self._due, *(route.camera for route in self._switch.trials)}
        for camera in self._marks.held:
            if camera not in going_on:
                await self._on_thread(partial(self._marks.end, camera))
        now_s = asyncio.get_running_loop().time()
        for due in [due for due in self._due.values() if due.at_s <= now_s]:
            await self._begin(due)

    async def _begin(self, due: Due) -> None:
        release = due.release
        camera = release.camera
        try:
            self._check_mark(release)
            await self._on_thread(partial(self._marks.begin, release))
            route = await self._switch.try_out(release)
        except (BundleStoreError, ReleaseRefusedError) as exc:
            self._metrics.refused(camera, exc.reason)
            if due.is_first:
                self._tell_end(release, "refused", exc.reason, str(exc))
            if exc.is_final:
                self._forget(due)
            else:
                due.put_off(asyncio.get_running_loop().time())
            return
        self._forget(due)
        if route is not None:
            self._begun[camera] = release
            model = route.reference
            log.info(
                "%s: %s %s (%s) is tried in the shadow, by release %d",
                camera,
                model.name,
                model.version,
                model.digest[:12],
                release.number,
                extra=camera_fields(camera),
            )
            self._teller.tell_trial(release, "begun", "shadow: it scores beside the model that judges")

    def _check_mark(self, release: ModelRelease) -> None:
        tries = self._marks.tries(release)
        if tries >= MOST_TRIES:
            raise ReleaseRefusedError(
                "shadow",
                f"while it was being tried the process ended by a fault, or was killed {MOST_TRIES} times, and it may have been the cause; "
                "release the model again to try it again",
            )
        if tries:
            log.warning(
                "%s: the model that release %d has on trial was being tried when the process ended; it is tried once more",
                release.camera,
                release.number,
                extra=camera_fields(release.camera),
            )

    def end(self, route: Route, why: str) -> None:
        """A trial cannot go on; neither the model that judges nor a trial that has begun since is concerned."""
        if not self._switch.end(route):
            return
        release = self._begun.pop(route.camera, None)
        if release is not None:
            self._metrics.refused(route.camera, "shadow")
            self._tell_end(release, "ended", "shadow", why)

    def end_all(self, why: str) -> bool:
        """End the trials of all cameras; return whether there were any."""
        routes = self._switch.trials
        for route in routes:
            self.end(route, why)
        return bool(routes)

    def resume(self, camera: str) -> None:
        """Begin a trial again that ended for a release which was then refused for good."""
        release = self._begun.get(camera)
        if release is not None and camera not in [route.camera for route in self._switch.trials]:
            self.want(release)

    def _tell_end(self, release: ModelRelease, outcome: TrialOutcome, reason: RefusalReason, why: str) -> None:
        log.error(
            "the model that release %d has on trial in the shadow of %s does not score, the one that judges goes on: %s",
            release.number,
            release.camera,
            why,
            extra=camera_fields(release.camera),
        )
        self._teller.tell_trial(release, outcome, f"{reason}: the trial alone, the release judges: {why}")

    def _forget(self, due: Due) -> None:
        if self._due.get(due.release.camera) is due:
            del self._due[due.release.camera]
