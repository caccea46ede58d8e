"""Computes how a camera is judged after each kind of change. Pure."""

from __future__ import annotations

from inspector.releases.errors import ReleaseError
from schemas import BundleReference, CameraModels, Candidate, LiveChanges


def with_active(models: CameraModels, bundle: BundleReference, changes: LiveChanges) -> CameraModels:
    """Let a bundle judge. A trial ends; a threshold that was set live was the old model's, so it goes unless `changes` has one.

    Args:
        models: as they are.
        bundle: is to judge.
        changes: thresholds and budget to set; what is null there stays as it is, but for the threshold.
    """
    kept = _changed(models.changes.model_copy(update={"classification_threshold": None}), changes)
    previous = models.previous if models.active == bundle else models.active
    return CameraModels(active=bundle, changes=kept, previous=previous)


def with_candidate(models: CameraModels, candidate: Candidate) -> CameraModels:
    """Try a bundle beside the one that judges, in place of one that is tried already.

    Raises:
        ReleaseError: It is the one that judges.
    """
    if models.active is not None and models.active.model.digest == candidate.bundle.model.digest:
        raise ReleaseError(
            f"{_named(models.active)} already judges this camera, so there is nothing to try; give another bundle"
        )
    return models.model_copy(update={"candidate": candidate})


def with_changes(models: CameraModels, changes: LiveChanges, *, as_set: bool) -> CameraModels:
    """Set thresholds and budget; with `as_set` first as bundle and settings say."""
    return models.model_copy(update={"changes": _changed(LiveChanges() if as_set else models.changes, changes)})


def rolled_back(models: CameraModels) -> CameraModels:
    """End a trial, or, if there is none, switch back to the previous model with its own threshold.

    Raises:
        ReleaseError: There is nothing to go back to.
    """
    if models.candidate is not None:
        return models.model_copy(update={"candidate": None})
    if models.active is None and models.previous is None:
        raise ReleaseError(
            "no model was released before, so there is nothing to go back to; release one with trainer release BUNDLE"
        )
    changes = models.changes.model_copy(update={"classification_threshold": None})
    return CameraModels(active=models.previous, changes=changes, previous=models.active)


def _changed(now: LiveChanges, changes: LiveChanges) -> LiveChanges:
    given = {name: value for name, value in changes.model_dump().items() if value is not None}
    return now.model_copy(update=given)


def _named(bundle: BundleReference) -> str:
    return f"{bundle.model.name} {bundle.model.version} ({bundle.model.digest[:12]})"
