"""Applies a release to a camera: loads its models, then exchanges the route between two frames; or changes nothing at all.

A frame is judged by the model that its camera had when the frame was admitted, because it was decoded for that model and a batch has one
model. So frames before a swap finish with the old model, those after it with the new one, and the camera's frames keep their
order. The old model is dropped when its last frame has left.
"""

from __future__ import annotations

import weakref
from dataclasses import replace
from typing import NamedTuple, Protocol

from inspector.anomaly.errors import GeometryError
from inspector.anomaly.types import DLSample
from inspector.inflight.registry import Registry
from inspector.inflight.route import Model, Route
from inspector.stages.shadow import LONGEST_SHARE
from inspector.swap.refusal import ReleaseRefusedError
from schemas import BundleReference, Candidate, LiveChanges, ModelRelease


class Load(Protocol):
    """Returns a verified, warm model of a bundle; raises what `Switch.apply` does."""

    async def __call__(
        self, bundle: BundleReference, /, *, tried: Model | None = None, longest_s: float | None = None
    ) -> Model:
        """Fetch, load and warm up.

        Args:
            bundle: which one.
            tried: its model, if it is here and was warmed up for a trial alone: it gets what it lacks.
            longest_s: for a trial: single frames alone are warmed up, and one that takes longer refuses it.
        """


class Applied(NamedTuple):
    """What judges a camera now."""

    release: ModelRelease
    active: Route
    canary: Route | None


class Switch:
    """Applies releases one at a time. Event loop only."""

    def __init__(self, registry: Registry, load: Load) -> None:
        """Change the routes of `registry`."""
        self._registry = registry
        self._load = load
        self._numbers: dict[str, int] = {}
        # Models that are here, for cameras that share one: nothing is kept by this.
        self._here: weakref.WeakValueDictionary[str, Model] = weakref.WeakValueDictionary(
            {route.model.digest: route.model for route in registry.routes}
        )
        self._tried: weakref.WeakSet[Model] = weakref.WeakSet()
        """Those that are warmed up for single frames alone."""

    def number(self, camera: str) -> int:
        """Return the number of the release by which a camera is judged; 0: by the settings."""
        return self._numbers.get(camera, 0)

    def digests(self) -> set[str]:
        """Return the digests of the models that are here."""
        return set(self._here)

    @property
    def trials(self) -> list[Route]:
        """What is on trial, by camera."""
        shadows = [self._registry.shadow(route.camera) for route in self._registry.routes]
        return [shadow for shadow in shadows if shadow is not None]

    async def apply(self, release: ModelRelease) -> Applied | None:
        """Let a camera be judged as `release` says; None: it is not of this deployment, or no newer than what is applied.

        What is on trial at the camera ends before anything is loaded, unless the release names it: its memory may be needed.

        Raises:
            BundleStoreError: A bundle cannot be fetched, or is not what the release says. What judges was not changed.
            ReleaseRefusedError: A model is not to judge this camera. What judges was not changed.
            DeviceLostError: The device is of no use any more.
        """
        base = self._registry.configured(release.line_id, release.camera_id)
        if base is None or release.number <= self.number(release.camera):
            return None
        models = release.models
        self._end_unnamed(release)
        active = await self._active(base, models.active, models.changes)
        candidate = models.candidate
        is_canary = candidate is not None and candidate.role == "canary"
        canary = await self._canary(base, candidate, active) if candidate is not None and is_canary else None
        share = 0.0
        if models.candidate is not None and models.candidate.percent is not None:
            share = models.candidate.percent / 100
        self._registry.replace(active, canary=canary, share=share, shadow=self._kept(release))
        self._numbers[release.camera] = release.number
        return Applied(release, active, canary)

    async def try_out(self, release: ModelRelease) -> Route | None:
        """Let the model that a release has on trial score beside the one that judges; None: there is none, or the release is not the last.

        Raises:
            BundleStoreError: The bundle cannot be fetched, or is not what the release says. Nothing was changed.
            ReleaseRefusedError: The model could not judge this camera, so it is not tried either; or a frame takes it
                longer than `LONGEST_SHARE` of the shortest budget. Nothing was changed.
            DeviceLostError: The device is of no use any more.
        """
        base, candidate = self._registry.configured(release.line_id, release.camera_id), release.models.candidate
        if base is None or candidate is None or candidate.role != "shadow":
            return None
        longest_s = LONGEST_SHARE * self._registry.shortest_budget_s
        route = self._kept(release) or await self._route(base, candidate.bundle, longest_s=longest_s)
        if release.number != self.number(release.camera):
            return None
        self._registry.try_out(release.camera, route)
        return route

    def end(self, route: Route) -> bool:
        """Let a model be tried no more; False: it is not on trial, or another one is by now."""
        if self._registry.shadow(route.camera) is not route:
            return False
        self._registry.try_out(route.camera, None)
        return True

    def _end_unnamed(self, release: ModelRelease) -> None:
        models, trial = release.models, self._registry.shadow(release.camera)
        named = [models.active, None if models.candidate is None else models.candidate.bundle]
        if trial is not None and trial.reference not in [bundle.model for bundle in named if bundle is not None]:
            self.end(trial)

    def _kept(self, release: ModelRelease) -> Route | None:
        """Return the model that is on trial already, where this release goes on with it."""
        candidate, route = release.models.candidate, self._registry.shadow(release.camera)
        if route is None or candidate is None or candidate.role != "shadow":
            return None
        return route if route.reference == candidate.bundle.model else None

    async def _active(self, base: Route, bundle: BundleReference | None, changes: LiveChanges) -> Route:
        route = base if bundle is None else await self._route(base, bundle)
        if changes.classification_threshold is not None:
            route = replace(route, classification_threshold=changes.classification_threshold)
        if changes.budget_us is not None:
            route = replace(route, budget_us=changes.budget_us)
        return route

    async def _canary(self, base: Route, candidate: Candidate, active: Route) -> Route:
        return replace(await self._route(base, candidate.bundle), budget_us=active.budget_us)

    async def _route(self, base: Route, bundle: BundleReference, *, longest_s: float | None = None) -> Route:
        """Return the camera's route by another model; its threshold is the bundle's, for that of the settings was the settings' model's.

        `longest_s` is for a model that is only tried.
        """
        digest = bundle.model.digest
        model = self._here.get(digest)
        if model is None:
            model = await self._load(bundle, longest_s=longest_s)
            if longest_s is not None:
                self._tried.add(model)
            self._here[digest] = model
        elif longest_s is None and model in self._tried:
            await self._load(bundle, tried=model)
            self._tried.discard(model)
        self._check_geometry(base, model)
        return replace(base, model=model, reference=bundle.model, classification_threshold=None)

    def _check_geometry(self, base: Route, model: Model) -> None:
        """Refuse a model that would refuse this camera's pictures: those that it sends, or else those that its present model learnt from.

        Raises:
            ReleaseRefusedError: `geometry`.
        """
        for sample in self._pictures(base, model):
            try:
                model.check_geometry(sample)
            except GeometryError as exc:
                raise ReleaseRefusedError("geometry", f"the pictures of {base.camera} do not fit: {exc}") from exc

    def _pictures(self, base: Route, model: Model) -> list[DLSample]:
        seen = self._registry.seen(base.camera)
        if seen is not None:
            return [seen]
        if model.preprocess_param.tile is not None or base.model.preprocess_param.tile is not None:
            return []  # golden pictures of tiles are cut out, in another size
        return [
            DLSample(
                image,
                original_width=image.shape[1],
                original_height=image.shape[0],
                channels=1 if image.ndim == 2 else 3,  # noqa: PLR2004 (H, W)
            )
            for image in base.model.golden_images[:1]
        ]
