"""The commands release, rollback and releases: what is checked first, and what is printed for each camera."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from rich.table import Table

from inspector.anomaly.errors import UncalibratedError
from inspector.anomaly.model.bundle import read_dl_model
from inspector.releases.desk import Desk, Outcome, who_am_i
from inspector.releases.edit import rolled_back, with_active, with_candidate, with_changes
from inspector.releases.journal import Change, Edit
from schemas import BundleReference, CameraModels, Candidate, LiveChanges, ModelRelease
from schemas.releases.audit import ChangeAction
from trainer.settings.release import ChangeBase, ReleaseSettings, ReleasesSettings, RollbackSettings


def run_release(settings: ReleaseSettings) -> list[Outcome]:
    """Check and upload the bundle, and write a release for each camera.

    Raises:
        AnomalyError: The bundle cannot be read, fails its golden samples, or has no thresholds.
        InspectorError: The settings are wrong, or store or brokers refuse.
    """
    desk = Desk(settings.config, bootstrap=settings.bootstrap, store=settings.store)
    cameras = desk.cameras(settings.camera)
    budget_us = None if settings.budget_ms is None else settings.budget_ms * 1000
    changes = LiveChanges(classification_threshold=settings.threshold, budget_us=budget_us)
    if settings.bundle is None:
        edit = partial(with_changes, changes=changes, as_set=settings.as_set)
        return desk.change(cameras, _change(settings, "settings", edit))
    check_bundle(settings.bundle)
    bundle = desk.upload(settings.bundle)
    if settings.canary is not None:
        tried = Candidate(bundle=bundle, role="canary", percent=settings.canary)
        return desk.change(cameras, _change(settings, "canary", partial(with_candidate, candidate=tried)))
    if settings.shadow:
        tried = Candidate(bundle=bundle, role="shadow")
        return desk.change(cameras, _change(settings, "shadow", partial(with_candidate, candidate=tried)))
    return desk.change(cameras, _change(settings, "release", partial(with_active, bundle=bundle, changes=changes)))


def run_rollback(settings: RollbackSettings) -> list[Outcome]:
    """Take each camera's last change of models back.

    Raises:
        InspectorError: The settings are wrong, or the brokers refuse.
    """
    desk = Desk(settings.config, bootstrap=settings.bootstrap)
    return desk.change(desk.cameras(settings.camera), _change(settings, "rollback", rolled_back))


def run_releases(settings: ReleasesSettings) -> list[ModelRelease]:
    """Return the last release of each camera, by its name.

    Raises:
        InspectorError: The settings are wrong, or the brokers refuse.
    """
    found = Desk(settings.config, bootstrap=settings.bootstrap).releases()
    return [found[camera] for camera in sorted(found)]


def check_bundle(bundle: Path) -> None:
    """Load a bundle as an inspector would.

    Raises:
        BundleError: It is not a bundle, was changed, or fails its golden samples.
        UncalibratedError: It has no thresholds.
    """
    model = read_dl_model(bundle)
    if model.thresholds is None:
        raise UncalibratedError(f"{bundle} has no thresholds, so it cannot give verdicts; train it with `trainer fit`")


def _change(settings: ChangeBase, action: ChangeAction, edit: Edit) -> Change:
    return Change(action, edit, settings.by or who_am_i(), settings.note)


def outcome_lines(outcomes: Iterable[Outcome]) -> Iterator[str]:
    """Say of each camera what was changed."""
    for outcome in outcomes:
        if outcome.written is None:
            continue
        release = outcome.written.release
        yield f"{outcome.camera}: release {release.number}: {said(outcome.written.old)} -> {said(release.models)}"


def said(models: CameraModels) -> str:
    """Say in a line by what a camera is judged."""
    parts = [_bundle(models.active)]
    if models.candidate is not None:
        parts.append(_candidate(models.candidate))
    parts += _changes(models.changes)
    return ", ".join(parts)


def releases_table(releases: Iterable[ModelRelease]) -> Table:
    """A row for each camera."""
    table = Table("camera", "release", "judged by", "on trial", "set live", "by", "since", box=None, pad_edge=False)
    for release in releases:
        models = release.models
        table.add_row(
            release.camera,
            str(release.number),
            _bundle(models.active),
            "" if models.candidate is None else _candidate(models.candidate),
            ", ".join(_changes(models.changes)),
            release.released_by,
            datetime.fromtimestamp(release.released_at / 1e6, UTC).isoformat(timespec="seconds"),
        )
    return table


def as_json(release: ModelRelease) -> str:
    """One line of JSON."""
    return json.dumps({"camera": release.camera, **release.model_dump(mode="json")})


def _candidate(candidate: Candidate) -> str:
    percent = "" if candidate.percent is None else f" of {candidate.percent:g} %"
    return f"{candidate.role}{percent}: {_bundle(candidate.bundle)}"


def _bundle(bundle: BundleReference | None) -> str:
    if bundle is None:
        return "the settings' model"
    return f"{bundle.model.name} {bundle.model.version} ({bundle.model.digest[:12]})"


def _changes(changes: LiveChanges) -> list[str]:
    found = []
    if changes.classification_threshold is not None:
        found.append(f"threshold {changes.classification_threshold:g}")
    if changes.budget_us is not None:
        found.append(f"budget {changes.budget_us / 1000:g} ms")
    return found
