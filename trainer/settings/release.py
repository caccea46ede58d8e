"""Settings of the commands about releases: release, rollback, releases, compare. Loads no torch and no client of Kafka."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from inspector.commandline.option import Argument
from trainer.settings.backtest import Window
from trainer.settings.source import ARCHIVE_CACHE, ArchivePlace, check_archive_options


class ReleaseBase(BaseModel):
    """Options of all these commands: where the releases are."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    config: Annotated[Path | None, Argument("FILE")] = Field(
        None, description="the inspector's settings file (TOML), for brokers, topics, [releases] and cameras"
    )
    bootstrap: Annotated[str | None, Argument("HOST:PORT")] = Field(
        None, description="address of a broker, instead of kafka.bootstrap_servers of the settings"
    )


class ChangeBase(ReleaseBase):
    """Options of the commands that change something."""

    camera: Annotated[list[str], Argument("LINE/CAMERA")] = Field(
        min_length=1, description="camera to change; may be repeated"
    )
    by: Annotated[str | None, Argument("NAME")] = Field(
        None,
        max_length=128,
        pattern=r"^[!-~]+( [!-~]+)*$",
        description="who makes the change, for the audit record, in printable ASCII (default: user@host)",
    )
    note: Annotated[str, Argument("TEXT")] = Field(
        "", max_length=500, description="reason for the change, for the audit record"
    )
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object for each camera")


class ReleaseSettings(ChangeBase):
    """Switch cameras to another model while the inspectors run, or try the model on a share of the parts first.

    The bundle is loaded and tested here, copied to the store, and announced on the topic of releases. Each inspector
    fetches and verifies it, and switches between two frames of the camera. If anything is wrong, the inspector keeps
    its present model and says why in its log, on /metrics and in the audit topic. Without BUNDLE, only --threshold and
    --budget-ms are changed. See docs/releases.md.

    Exit status: 0 released, 1 refused for one camera at least (the message says why), 2 wrong usage.
    """

    bundle: Annotated[Path | None, Argument("BUNDLE", is_positional=True)] = Field(
        None, description="folder of the model bundle"
    )
    canary: Annotated[float | None, Argument("PERCENT")] = Field(
        None,
        gt=0,
        lt=100,
        description="try the model on this percentage of the parts; a part is always judged by the same model",
    )
    shadow: bool = Field(
        False,
        description="try the model without effect on verdicts: it scores frames when the device has time; see `trainer compare`",
    )
    domain: Annotated[Path | None, Argument("FILE")] = Field(
        None,
        description="not supported: the region of interest belongs to the bundle; fit a new bundle to change it",
    )
    threshold: float | None = Field(
        None,
        gt=0,
        lt=1,
        description="new classification threshold: parts with this score or more are nok, instead "
        "of the bundle's threshold",
    )
    budget_ms: Annotated[int | None, Argument("MS")] = Field(
        None,
        ge=1,
        le=86_400_000,
        description="new time budget from capture to verdict, instead of the one in the inspector's settings",
    )
    as_set: bool = Field(False, description="go back to the bundle's threshold and the budget of the settings")
    store: Annotated[str | None, Argument("URL")] = Field(
        None, description="folder of bundles, s3://… or file:///…/, instead of releases.store of the settings"
    )

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if self.domain is not None:
            raise ValueError(
                "--domain: a region of interest cannot be changed while the service runs, because features, scores and thresholds of the "
                "bundle belong to its own region. Fit a bundle with the new region (trainer fit --domain) and release that; "
                "--shadow and `trainer compare` show its effect before"
            )
        is_trial = self.canary is not None or self.shadow
        if self.canary is not None and self.shadow:
            raise ValueError("--shadow judges no part and --canary judges some: give only one of them")
        sets = self.threshold is not None or self.budget_ms is not None or self.as_set
        if is_trial and self.bundle is None:
            raise ValueError("--canary and --shadow need a BUNDLE to try")
        if is_trial and sets:
            raise ValueError(
                "a model on trial uses the threshold of its bundle; change --threshold and --budget-ms in a separate release"
            )
        if self.bundle is None and not sets:
            raise ValueError("give a BUNDLE, or --threshold, --budget-ms or --as-set")
        if self.as_set and (self.bundle is not None or self.threshold is not None or self.budget_ms is not None):
            raise ValueError("--as-set must be given alone: it undoes --threshold and --budget-ms")
        return self


class RollbackSettings(ChangeBase):
    """End the trial of a model; if there is none, switch back to the previous model.

    Exit status: 0 done, 1 refused for one camera at least (the message says why), 2 wrong usage.
    """


class ReleasesSettings(ReleaseBase):
    """Print which model was released to which camera, when, and by whom.

    A camera that is not listed has no release: it uses the model from the inspector's settings. Whether an inspector
    applied a release is shown in its log, on /metrics and in the audit topic.

    Exit status: 0 done, 1 refused (the message says why), 2 wrong usage.
    """

    json_output: bool = Field(False, validation_alias="json", description="print one JSON object for each camera")


class CompareSettings(ReleaseBase, Window):
    """Compare what a model on trial in the shadow says with the verdicts that counted, for the same frames.

    Reads both from the brokers, without a group, pairs them by frame, and counts. With --out it also writes a page with pictures of the
    frames that differ. The pictures come from --archive, or from the frames topic if it still has them.

    Exit status: 0 done, whatever the differences; 1 refused (the message says why); 2 wrong usage; 130 interrupted.
    """

    camera: Annotated[str, Argument("LINE/CAMERA")] = Field(
        pattern=r"^[A-Za-z0-9_-]{1,64}/[A-Za-z0-9_-]{1,64}$", description="camera at which the model is on trial"
    )
    model: Annotated[str, Argument("DIGEST")] = Field(
        "",
        pattern=r"^[0-9a-f]{0,64}$",
        description="beginning of the digest of the model on trial (default: the last one within --from and --to)",
    )
    archive: Annotated[ArchivePlace | None, Argument("PLACE")] = Field(
        None,
        description="the inspector's archive, to take pictures from: its root folder, or s3://bucket/prefix (default: the frames topic)",
    )
    archive_cache: Path | None = ARCHIVE_CACHE
    out: Path | None = Field(
        None, description="folder to write to: compare.html, compare.json, and compare.csv with a row for each frame"
    )
    pictures: int = Field(
        50, ge=0, le=1000, description="maximum number of pictures on the page, the largest differences first"
    )
    json_output: bool = Field(False, validation_alias="json", description="print one JSON object instead of the tables")

    @model_validator(mode="after")
    def _has_a_store(self) -> Self:
        check_archive_options(self.archive, {"archive_cache": self.archive_cache})
        return self
