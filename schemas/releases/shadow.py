"""What a model on trial says about a picture: the value of a record of the topic `inspection.shadow`.

It is not a verdict, and no reader can mistake it for one: it lacks the fields that a result must have (status, class, deadline), and its
headers contain none of them. So `DLResultMessage` refuses it on any topic, and readers that are older than this message refuse it too.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator

from schemas.base import Id, StrictModel, TimeUs
from schemas.identity import FrameAnswer
from schemas.region import RegionMessage
from schemas.result import AnomalyClass, ModelReference, Reason, Threshold

SHADOW_HEADERS: Final = ("role", "result_id")


class ShadowVerdict(StrictModel):
    """What the model on trial makes of a picture, as a result would have it if that model judged."""

    anomaly_score: Annotated[float, Field(ge=0.0, le=1.0)]
    anomaly_class: AnomalyClass
    anomaly_region: RegionMessage | None = Field(None, description="null also where no pixel reaches the threshold")
    classification_threshold: Threshold
    segmentation_threshold: Threshold

    @model_validator(mode="after")
    def _check_class(self) -> Self:
        is_nok = self.anomaly_score >= self.classification_threshold
        if self.anomaly_class != ("nok" if is_nok else "ok"):
            raise ValueError(
                f"anomaly_class is {self.anomaly_class}, but score {self.anomaly_score!r} and classification_threshold "
                f"{self.classification_threshold!r} give {'nok' if is_nok else 'ok'}"
            )
        return self


class ShadowResultMessage(FrameAnswer):
    """What a model on trial says of one frame that another model judges; `result_id` is that of the verdict that counts.

    A frame has one where the device had time for it and its picture can be decoded, and none otherwise. Of repeated ones the first counts,
    as of results. Where the model could not score the picture `shadow` is null and `failure` says why: if it judged, the frame would be rejected.
    """

    role: Literal["shadow"]
    shadow: ShadowVerdict | None
    failure: Annotated[Reason, Field(description="none exactly where shadow is not null")]
    model: ModelReference
    scored_at: TimeUs
    is_simulated: bool = False
    deployment: Id | None = Field(None, description="Who wrote this, as in results")

    @model_validator(mode="after")
    def _check_failure(self) -> Self:
        if (self.shadow is None) != (self.failure != "none"):
            raise ValueError("failure is none exactly where shadow is not null")
        return self


def shadow_headers(message: ShadowResultMessage) -> list[tuple[str, bytes]]:
    """Return the headers of its record: its role and `result_id`, and nothing that headers of a result say of a verdict."""
    return [(name, str(getattr(message, name)).encode()) for name in SHADOW_HEADERS]
