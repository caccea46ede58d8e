"""Which model judges which camera and which part. Bundles are loaded once, shared by cameras, and exchanged by releases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from inspector.anomaly.domain.domain import ImageDomain
from inspector.anomaly.errors import BundleError
from inspector.anomaly.types import DLSample
from inspector.errors import DeviceLostError, ModelError
from inspector.inflight.fault import device_fault
from inspector.inflight.route import Model, Route
from inspector.observe.models import Judge
from inspector.settings.settings import CameraSettings
from schemas import ModelReference, part_share


class _Judges(NamedTuple):
    """Who judges a camera's parts: all of them, or those whose share is below `share` another."""

    active: Route
    canary: Route | None = None
    share: float = 0.0
    shadow: Route | None = None
    """Of a model that judges nothing, and is only tried."""


class Registry:
    """The routes by line and camera. Read on the event loop."""

    def __init__(self, routes: Mapping[tuple[str, str], Route]) -> None:
        """Take routes whose models are loaded."""
        self._configured = dict(routes)
        self._judges = {key: _Judges(route) for key, route in routes.items()}
        self._seen: dict[str, DLSample] = {}
        self.slowest_batch_s = 0.0
        """What the slowest batch of `warm_up` took."""

    def route(self, line_id: str, camera_id: str, part_id: str | None = None) -> Route | None:
        """Return the route of this camera's part, or None for a camera that the configuration does not name."""
        judges = self._judges.get((line_id, camera_id))
        if judges is None or judges.canary is None or part_id is None:
            return None if judges is None else judges.active
        return judges.canary if part_share(part_id) < judges.share else judges.active

    def configured(self, line_id: str, camera_id: str) -> Route | None:
        """Return the route of this camera as the settings have it, whatever was released since."""
        return self._configured.get((line_id, camera_id))

    def shadow(self, camera: str) -> Route | None:
        """Return the route of a camera to a model that is only tried, if there is one."""
        line_id, _, camera_id = camera.partition("/")
        judges = self._judges.get((line_id, camera_id))
        return None if judges is None else judges.shadow

    def try_out(self, camera: str, shadow: Route | None) -> None:
        """Let a model be tried beside those that judge a camera, in place of one that is; None: none is any more."""
        line_id, _, camera_id = camera.partition("/")
        self._judges[line_id, camera_id] = self._judges[line_id, camera_id]._replace(shadow=shadow)

    def replace(
        self, active: Route, *, canary: Route | None = None, share: float = 0.0, shadow: Route | None = None
    ) -> None:
        """Let a camera's frames that are admitted from now on be judged by these routes.

        Args:
            active: judges its parts.
            canary: judges those whose share is below `share` instead.
            share: 0 to 1.
            shadow: is only tried.
        """
        line_id, _, camera_id = active.camera.partition("/")
        self._judges[line_id, camera_id] = _Judges(active, canary, share, shadow)

    def saw(self, camera: str, picture: DLSample) -> None:
        """Note size and channels of a picture that a camera sent and its model takes."""
        self._seen[camera] = picture

    def seen(self, camera: str) -> DLSample | None:
        """Return the last that `saw` was told of a camera; without pixels."""
        return self._seen.get(camera)

    @property
    def routes(self) -> list[Route]:
        """The route of each camera; that of a canary not among them."""
        return [judges.active for judges in self._judges.values()]

    @property
    def shortest_budget_s(self) -> float:
        """The shortest time that any camera has for a verdict."""
        return min((judges.active.budget_us for judges in self._judges.values()), default=0) / 1e6

    @property
    def models(self) -> set[Model]:
        """All models that judge or may judge again, and those that are tried: those of the settings are kept."""
        judges = self._judges.values()
        tried = [route for one in judges for route in (one.canary, one.shadow)]
        routes = [*(one.active for one in judges), *tried, *self._configured.values()]
        return {route.model for route in routes if route is not None}

    @property
    def domains(self) -> set[ImageDomain]:
        """The different regions of interest of the models."""
        found = {model.preprocess_param.domain for model in self.models}
        return {domain for domain in found if domain is not None}

    def warm_up(self, batch_sizes: Sequence[int], exceeded: Callable[[Model, int], object]) -> None:
        """Run batches of these sizes, ascending, on every model. To be called on each device thread.

        Args:
            batch_sizes: ascending, from 1.
            exceeded: told of a model and a size that the device has no room for; larger ones are left out.

        Raises:
            ModelError: There is not enough memory for a single frame.
            DeviceLostError: The device is of no use.
        """
        for model in self.models:
            self.slowest_batch_s = max(self.slowest_batch_s, warm_up_model(model, batch_sizes, exceeded))


def warm_up_model(
    model: Model,
    batch_sizes: Sequence[int],
    exceeded: Callable[[Model, int], object],
    *,
    is_doubt_fatal: bool = True,
) -> float:
    """Run batches of these sizes, ascending; return the seconds of the slowest. Arguments and errors as `Registry.warm_up`.

    A doubtful fault means a lost device only where `is_doubt_fatal`: as long as nothing runs that another try would spare.
    Elsewhere it is raised as it came.
    """
    slowest_s = 0.0
    for size in batch_sizes:
        begun_s = time.monotonic()
        words = _warm_up(model, size, is_doubt_fatal=is_doubt_fatal)
        slowest_s = max(slowest_s, time.monotonic() - begun_s)
        if words is None:
            continue
        if size == 1:
            raise ModelError(f"the device does not have enough memory for one frame of {model.name}: {words}")
        exceeded(model, size)
        break
    return slowest_s


def load_routes(
    models: Mapping[str, Path],
    cameras: Sequence[CameraSettings],
    read: Callable[[Path], Model],
    *,
    digests: Mapping[str, str],
    default_budget_us: int,
) -> Registry:
    """Load and verify every model that a camera names. On a device thread; takes seconds.

    Args:
        models: the bundle of each model.
        cameras: which model judges which of them.
        read: loads and verifies a bundle.
        digests: those that models must have, where the settings say so.
        default_budget_us: for cameras that name none.

    Raises:
        ModelError: A bundle is missing, damaged, not the one of its digest, fails its golden samples, or has no thresholds.
    """
    loaded = {name: _load(name, models[name], read, digests.get(name)) for name in {camera.model for camera in cameras}}
    routes = {}
    for camera in cameras:
        model = loaded[camera.model]
        routes[camera.line_id, camera.camera_id] = Route(
            camera=camera.key,
            model=model,
            reference=ModelReference(name=model.name, version=model.version, digest=model.digest),
            classification_threshold=camera.classification_threshold,
            budget_us=default_budget_us if camera.budget_ms is None else camera.budget_ms * 1000,
            weight=camera.weight,
            freshest_first=camera.policy == "freshest_first",
        )
    return Registry(routes)


def judge_of(route: Route) -> Judge:
    """Return what judges a camera, as the metrics show it."""
    threshold = route.classification_threshold
    if threshold is None:
        thresholds = route.model.thresholds
        threshold = math.nan if thresholds is None else thresholds.classification  # no model without them is loaded
    reference = route.reference
    return Judge(reference.name, reference.version, reference.digest, threshold, route.budget_us / 1e6)


def _warm_up(model: Model, size: int, *, is_doubt_fatal: bool) -> str | None:
    """Return None, or in words why there was no room; not the error, which would hold what was on the device."""
    try:
        model.warm_up([size])
    except Exception as exc:
        fault = device_fault(exc)
        if fault == "lost" or (fault == "doubtful" and is_doubt_fatal):
            raise DeviceLostError(f"the device is lost: {exc}") from exc
        if fault != "memory":
            raise
        return f"{type(exc).__name__}: {exc}"
    return None


def _load(name: str, path: Path, read: Callable[[Path], Model], digest: str | None) -> Model:
    try:
        model = read(path)
    except (BundleError, OSError) as exc:
        raise ModelError(f"model {name!r} from {path} cannot be used: {exc}") from exc
    if digest is not None and model.digest != digest:
        raise ModelError(
            f"model {name!r} from {path} is not the one in model_digests.{name}: its digest is {model.digest}, not {digest}"
        )
    if model.thresholds is None:
        raise ModelError(f"model {name!r} from {path} has no thresholds; train it with `trainer fit`")
    return model
