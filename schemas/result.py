"""The verdict on one picture: the value of a record of a results topic."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Digest, Id, StrictModel, TimeUs
from schemas.identity import FrameAnswer, result_id_of, result_id_of_frame, result_id_of_record
from schemas.region import RegionMessage

__all__ = [
    "REASONS",
    "AnomalyClass",
    "DLResultMessage",
    "ModelReference",
    "Reason",
    "Status",
    "result_id_of",
    "result_id_of_frame",
    "result_id_of_record",
]

AnomalyClass = Literal["ok", "nok"]
Status = Literal["inspected", "expired", "undecodable", "no_model", "failed"]
Reason = Literal[
    "none",
    # expired
    "late_before_decode",  # the deadline has passed or cannot be met
    "late_before_score",  # likewise
    "late_before_send",
    "captured_in_future",
    "superseded",  # by a newer frame of its camera
    # undecodable: the message
    "malformed",
    "wrong_version",
    "too_large",
    # undecodable: the image (too_large again)
    "empty",
    "corrupt",
    "truncated",
    "unsupported",
    "digest_mismatch",
    # undecodable: the picture that image_uri names
    "image_refused",  # not a place that the inspector may read
    "image_missing",
    "image_mismatch",  # another size or digest than the frame says
    # no_model
    "unknown_camera",
    "model_unavailable",
    "uncalibrated",
    # failed
    "non_finite",
    "geometry",
    "out_of_memory",
    "device",
    "timeout",
    "overloaded",
    "internal",
    "image_unreachable",  # the store does not answer, or not in time
]

REASONS: dict[Status, frozenset[Reason]] = {
    "inspected": frozenset({"none"}),
    "expired": frozenset(
        {"late_before_decode", "late_before_score", "late_before_send", "captured_in_future", "superseded"}
    ),
    "undecodable": frozenset(
        {
            "malformed",
            "wrong_version",
            "too_large",
            "empty",
            "corrupt",
            "truncated",
            "unsupported",
            "digest_mismatch",
            "image_refused",
            "image_missing",
            "image_mismatch",
        }
    ),
    "no_model": frozenset({"unknown_camera", "model_unavailable", "uncalibrated"}),
    "failed": frozenset(
        {
            "non_finite",
            "geometry",
            "out_of_memory",
            "device",
            "timeout",
            "overloaded",
            "internal",
            "image_unreachable",
        }
    ),
}
"""The reasons that each status may give."""

MAX_STAGES = 16

Threshold = Annotated[float, Field(ge=0.0)]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")]
StageSeconds = Annotated[float, Field(ge=0.0)]


class ModelReference(StrictModel):
    """Which model judged: `digest` is the SHA-256 of the manifest of its bundle."""

    name: Annotated[str, Field(min_length=1, max_length=128)]
    version: Annotated[str, Field(min_length=1, max_length=128)]
    digest: Digest


class DLResultMessage(FrameAnswer):
    """The verdict on one frame; every frame gets at least one, and the first of each `result_id` counts.

    A part passes only on `anomaly_class_id` 0, which only an `inspected` result in time can have. `inspected` comes with
    score, thresholds and model, and the class is `nok` exactly when score >= classification_threshold. Any other status
    has no score and is `nok`; thresholds and model may be present to show which model was meant. Identity fields are
    null only in an `undecodable` result whose headers did not name the frame. Class and region are independent. A
    verdict that was produced before its picture was captured is never `ok`: the clocks disagree, so the age of the
    picture is unknown.
    """

    status: Status
    reason: Annotated[
        Reason,
        Field(
            description="none exactly when inspected; late_before_decode and late_before_score: the deadline had passed or could not be "
            "met any more; superseded: a newer frame of its camera waited, and the camera wants only the newest"
        ),
    ]
    anomaly_score: Annotated[float, Field(ge=0.0, le=1.0)] | None = None
    anomaly_class: AnomalyClass
    anomaly_class_id: Annotated[Literal[0, 1], Field(description="0 is ok, 1 is nok")]
    anomaly_region: RegionMessage | None = Field(None, description="null also where no pixel reaches the threshold")
    classification_threshold: Threshold | None = None
    segmentation_threshold: Threshold | None = None
    deadline_at: TimeUs | None = Field(description="null only where captured_at is")
    produced_at: TimeUs
    model: ModelReference | None = None
    stage_seconds: Annotated[dict[StageName, StageSeconds], Field(max_length=MAX_STAGES)] = Field(default_factory=dict)
    is_simulated: bool = False
    deployment: Annotated[
        Id | None,
        Field(
            description="who wrote this: all processes of one deployment of the inspector share the name. Two names on one camera are "
            "two judges; a gate rejects then. Left out by writers without one",
            exclude_if=lambda name: name is None,
        ),
    ] = None

    @model_validator(mode="after")
    def _check_verdict(self) -> Self:
        if self.reason not in REASONS[self.status]:
            raise ValueError(f"reason {self.reason} does not belong to status {self.status}")
        if self.anomaly_class != ("ok", "nok")[self.anomaly_class_id]:
            raise ValueError(f"anomaly_class {self.anomaly_class} is not the class of id {self.anomaly_class_id}")
        if self.status == "inspected":
            self._check_inspected()
        elif self.anomaly_class_id != 1 or self.anomaly_score is not None or self.anomaly_region is not None:
            raise ValueError(f"a result with status {self.status} must have class nok and neither score nor region")
        return self

    @model_validator(mode="after")
    def _check_identity(self) -> Self:
        if self.status != "undecodable" and not self.identity.is_complete:
            raise ValueError(
                f"a result with status {self.status} identifies the frame, so no identity field may be null"
            )
        if (self.captured_at is None) != (self.deadline_at is None):
            raise ValueError("deadline_at must be null exactly when captured_at is")
        if self.captured_at is not None and self.deadline_at is not None and self.deadline_at < self.captured_at:
            raise ValueError("deadline_at is before captured_at")
        return self

    def _check_inspected(self) -> None:
        if (
            self.anomaly_score is None
            or self.classification_threshold is None
            or self.segmentation_threshold is None
            or self.model is None
        ):
            raise ValueError("an inspected result must have anomaly_score, both thresholds and model")
        is_nok = self.anomaly_score >= self.classification_threshold
        if self.anomaly_class_id != int(is_nok):
            raise ValueError(
                f"anomaly_class_id is {self.anomaly_class_id}, but score {self.anomaly_score!r} and "
                f"classification_threshold {self.classification_threshold!r} give {int(is_nok)}"
            )
        if not is_nok and self.captured_at is not None and self.produced_at < self.captured_at:
            raise ValueError(
                "produced_at is before captured_at: the clocks disagree, so the age of the picture is unknown and the "
                "result cannot be ok"
            )
