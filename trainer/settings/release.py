"""Settings of the commands that release models: release, rollback, releases. Loads no torch and no client of Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspector.commandline.option import Argument


class ReleaseBase(BaseModel):
    """What all of them are told: where the releases are."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    config: Annotated[Path | None, Argument("FILE")] = Field(
        None, description="the inspector's settings (TOML): brokers, topics, [releases] and cameras are read from it"
    )
    bootstrap: Annotated[str | None, Argument("HOST:PORT")] = Field(
        None, description="instead of the file's kafka.bootstrap_servers"
    )


class ChangeBase(ReleaseBase):
    """What those are told that change something."""

    camera: Annotated[list[str], Argument("LINE/CAMERA")] = Field(
        min_length=1, description="the cameras that are to change; may be repeated"
    )
    by: Annotated[str | None, Argument("NAME")] = Field(
        None,
        max_length=128,
        pattern=r"^[!-~]+( [!-~]+)*$",
        description="who does it, for the audit record, in printable ASCII (user@host)",
    )
    note: Annotated[str, Argument("TEXT")] = Field("", max_length=500, description="why, for the audit record")
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object for each camera")


class ReleaseSettings(ChangeBase):
    """Let a bundle judge cameras, or be tried beside the model that does, while the inspectors run.

    The bundle is loaded and scores its golden samples here, goes into the store, and the release onto the topic of releases. Each inspector
    fetches it, verifies it, and changes between two frames of the camera; where anything is wrong it keeps the model that it has, and says
    why in its log, on /metrics and in the audit topic. Without a bundle only --threshold and --budget-ms are changed. See docs/releases.md.

    Exit status: 0 released, 1 refused for one camera at least (the message says why), 2 wrong usage.
    """

    bundle: Annotated[Path | None, Argument("BUNDLE", is_positional=True)] = Field(
        None, description="folder of the model bundle"
    )
    canary: Annotated[float | None, Argument("PERCENT")] = Field(
        None, gt=0, lt=100, description="try it: it judges so many percent of the parts, always the same ones"
    )
    threshold: float | None = Field(
        None, gt=0, lt=1, description="parts are nok from this score of the judging model on, instead of the bundle's"
    )
    budget_ms: Annotated[int | None, Argument("MS")] = Field(
        None, ge=1, le=86_400_000, description="verdict due so long after capture, instead of the inspector's settings"
    )
    as_set: bool = Field(False, description="thresholds and budget again as bundle and settings say")
    store: Annotated[str | None, Argument("URL")] = Field(
        None, description="folder of bundles, s3://… or file:///…/, instead of the file's releases.store"
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        is_trial = self.canary is not None
        sets = self.threshold is not None or self.budget_ms is not None or self.as_set
        if is_trial and self.bundle is None:
            raise ValueError("--canary wants a BUNDLE to try")
        if is_trial and sets:
            raise ValueError(
                "a canary judges by its bundle's own threshold; change --threshold and --budget-ms in a release of their own"
            )
        if self.bundle is None and not sets:
            raise ValueError("give a BUNDLE, or --threshold, --budget-ms or --as-set")
        if self.as_set and (self.bundle is not None or self.threshold is not None or self.budget_ms is not None):
            raise ValueError("--as-set goes alone: it takes --threshold and --budget-ms back")
        return self


class RollbackSettings(ChangeBase):
    """End a trial of cameras; where there is none, let the model judge again that did so before.

    Exit status: 0 done, 1 refused for one camera at least (the message says why), 2 wrong usage.
    """


class ReleasesSettings(ReleaseBase):
    """Print which model judges which camera by the releases, since when, and who said so.

    A camera that is not listed has none: the model of the inspector's settings judges it. What became of a release in each inspector tell its
    log, /metrics and the audit topic.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage.
    """

    json_output: bool = Field(False, validation_alias="json", description="print one JSON object for each camera")
