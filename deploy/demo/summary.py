"""The summary of a run: the figures of summary.json, and the sentences that make a run fail."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from deploy.demo.account import Account, Received
from deploy.demo.cameras import BUDGET_MS, DemoCamera, is_ok
from deploy.local.base import Broker
from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.network.cores import usable_cores
from trainer.evaluation.image_measures import auroc, image_scores

MIN_AUROC = 0.98
MIN_RECALL = 0.9


@dataclass(frozen=True)
class ImageVerdict:
    """One test image: its label, and what the inspector said of it.

    Attributes:
        verdict: on the first of its frames that was inspected; None where none was.
        others: on the frames that showed it again.
    """

    image: Path
    label: str
    verdict: Received | None
    others: tuple[Received, ...] = ()

    @property
    def is_wrong(self) -> bool:
        """Whether the first verdict contradicts the label."""
        return self.verdict is not None and self.verdict.anomaly_class != self.label

    @property
    def spread(self) -> float:
        """Largest relative difference between the scores of its frames."""
        scores = [v.score for v in (self.verdict, *self.others) if v is not None and v.score is not None]
        return (max(scores) - min(scores)) / max(scores) if scores and max(scores) > 0 else 0.0


@dataclass(frozen=True)
class Run:
    """Everything that a run left behind.

    Attributes:
        models: what `trainer fit --json` printed, by camera.
        seconds: how long each step took.
        offline_scores: what `trainer apply` says of each image, without a broker.
        faults: sentences on what went wrong on the way.
        commands: what was run, as it would be typed.
    """

    broker: Broker
    cameras: Sequence[DemoCamera]
    account: Account
    calibration: Account
    models: Mapping[str, Mapping[str, Any]]
    seconds: Mapping[str, float] = field(default_factory=dict)
    offline_scores: Mapping[Path, float] = field(default_factory=dict)
    faults: Sequence[str] = ()
    commands: Sequence[str] = ()

    def images(self, camera: DemoCamera) -> list[ImageVerdict]:
        """Return each image of a camera once, in the order of its first frame."""
        verdicts = self.account.cameras[camera.camera_id].by_image()
        return [
            ImageVerdict(image, "ok" if is_ok(image) else "nok", next(iter(given), None), tuple(given[1:]))
            for image, given in verdicts.items()
        ]


def summarise(run: Run) -> dict[str, Any]:
    """Return the object of summary.json; README.md of this folder tells what each figure means."""
    accounts = run.account.cameras.values()
    statuses: Counter[str] = Counter()
    for account in accounts:
        statuses += account.statuses()
    cameras = {camera.camera_id: _camera_summary(run, camera) for camera in run.cameras}
    faults = [*run.faults, *_delivery_faults(run)]
    for camera in run.cameras:
        faults += verdict_faults(camera.title, cameras[camera.camera_id])
    return {
        "passed": not faults,
        "faults": faults,
        "frames": run.account.num_sent,
        "verdicts": run.account.num_sent - run.account.num_missing,
        "missing": run.account.num_missing,
        "duplicates": sum(account.duplicates for account in accounts),
        "strangers": sum(len(account.strangers) for account in accounts),
        "statuses": dict(statuses),
        "cameras": cameras,
        "offered_fps": round(run.account.offered_fps, 2),
        "throughput_fps": round(run.account.throughput_fps, 2),
        "broker": run.broker.name,
        "idempotent_producer": run.broker.supports_idempotence,
        "budget_ms": BUDGET_MS,
        "calibration": {
            "frames": run.calibration.num_sent,
            "missing": run.calibration.num_missing,
            "throughput_fps": round(run.calibration.throughput_fps, 2),
        },
        "seconds": {step: round(seconds, 1) for step, seconds in run.seconds.items()},
        "machine": machine(),
    }


def _camera_summary(run: Run, camera: DemoCamera) -> dict[str, Any]:
    account = run.account.cameras[camera.camera_id]
    images = run.images(camera)
    judged = [image for image in images if image.verdict is not None and image.verdict.score is not None]
    verdicts = [image.verdict for image in judged if image.verdict is not None]
    threshold = verdicts[0].threshold if verdicts else None
    scores = [verdict.score for verdict in verdicts if verdict.score is not None]
    labels: list[AnomalyClass] = ["ok" if image.label == "ok" else "nok" for image in judged]
    parted = image_scores(scores, labels)
    nok, ok = ([image for image in judged if image.label == label] for label in ("nok", "ok"))
    missed, rejected = (sum(image.is_wrong for image in part) for part in (nok, ok))
    on_time = sum(received.is_on_time for _, received in account.answered)
    return {
        "title": camera.title,
        "frames": len(account.sent),
        "verdicts": len(account.answered),
        "missing": len(account.missing),
        "images": len(images),
        "images_ok": sum(image.label == "ok" for image in images),
        "images_nok": sum(image.label == "nok" for image in images),
        "images_not_inspected": len(images) - len(judged),
        "auroc": auroc(parted.ok, parted.nok),
        "threshold": threshold,
        "false_rejects": rejected,
        "missed": missed,
        "recall": (len(nok) - missed) / len(nok) if nok else None,
        "p50_ms": _rounded(account.latency_ms(50)),
        "p99_ms": _rounded(account.latency_ms(99)),
        "on_time": on_time / len(account.sent) if account.sent else 0.0,
        "late": len(account.sent) - on_time,
        "score_spread": max((image.spread for image in images), default=0.0),
        "offline_difference": _offline_difference(run, judged),
        "model": run.models[camera.camera_id],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _offline_difference(run: Run, judged: Sequence[ImageVerdict]) -> float | None:
    """Largest relative difference between the service's score of an image and that of `trainer apply`."""
    differences = [
        abs(verdict.score - offline) / offline
        for image in judged
        if (verdict := image.verdict) is not None
        and verdict.score is not None
        and (offline := run.offline_scores.get(image.image))
    ]
    return max(differences, default=None)


def _delivery_faults(run: Run) -> list[str]:
    faults = []
    for name, account in (("", run.account), (" of the calibration", run.calibration)):
        missing = [frame for camera in account.cameras.values() for frame in camera.missing]
        if missing:
            parts = ", ".join(frame.part_id for frame in missing[:3])
            faults.append(f"{len(missing)} of {account.num_sent} frames{name} have no verdict, for example {parts}")
        if account.unreadable:
            faults.append(
                f"{len(account.unreadable)} results{name} do not belong to any camera: {account.unreadable[0][:200]}"
            )
    return faults


def verdict_faults(title: str, figures: Mapping[str, Any]) -> list[str]:
    """Return what is bad about a camera's verdicts, a sentence each."""
    faults = []
    if figures["images_not_inspected"]:
        faults.append(f"{title}: {figures['images_not_inspected']} of {figures['images']} images were never inspected")
    if figures["auroc"] is None or figures["auroc"] < MIN_AUROC:
        faults.append(f"{title}: image AUROC is {_figure(figures['auroc'])}, below {MIN_AUROC}")
    if figures["recall"] is None or figures["recall"] < MIN_RECALL:
        found = f"{_figure(figures['recall'])} of the defects are found at the model's threshold, below {MIN_RECALL}"
        faults.append(f"{title}: {found}")
    return faults


def _figure(value: float | None) -> str:
    return "not known" if value is None else f"{value:.4f}"


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    return {
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": usable_cores(),
        "python": platform.python_version(),
        "torch": version("torch"),
    }
