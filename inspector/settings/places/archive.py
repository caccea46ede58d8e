"""Settings of `inspector archive`: where pictures are kept, which ones, and for how long."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from inspector.credentials.secrets import read_secret
from inspector.settings.section import MIB, Port, Positive, Section
from schemas.archive.place import archive_url, is_url

GIB: Final = 1024 * MIB


class ArchiveSettings(Section):
    """The archive of pictures with their verdicts, which the trainer can read."""

    url: str | None = Field(None, description='where the pictures are stored: a folder, or "s3://bucket/prefix"')
    group_id: str = Field(
        "line-inspector-archive", min_length=1, description="consumer group; must differ from that of the inspectors"
    )
    session_timeout_ms: Positive = Field(
        20_000,
        description="if the brokers do not hear from a process for this long, it loses its partitions; nobody waits "
        "for the archive, so it may be longer than kafka.session_timeout_ms",
    )
    near: float = Field(
        0.1, ge=0, lt=1, description="all ok pictures with a score of at least (1 - near) x threshold are kept"
    )
    ok_per_day: Positive = Field(200, description="number of randomly chosen ok pictures kept for each camera and day")
    uninspected_per_day: Annotated[int, Field(ge=0)] = Field(
        50, description="the same for pictures that no model judged (expired, undecodable, ...); they get no label"
    )
    accept_simulated: bool = Field(False, description="whether simulated pictures (is_simulated) are kept; for trials")
    max_age_days: Positive = Field(90, description="pictures that are older are removed")
    max_camera_bytes: Positive = Field(
        20 * GIB, description="maximum size of one camera's pictures; above it, the oldest ones are removed"
    )
    keep_last_ok: Annotated[int, Field(ge=0)] = Field(
        500, description="number of each camera's newest ok pictures that are never removed because of age or size"
    )
    flush_ms: Positive = Field(
        2_000, description="maximum time between two writes of pictures and index, after which offsets are committed"
    )
    flush_bytes: Positive = Field(
        64 * MIB, description="maximum size of pictures held in memory before they are written"
    )
    wait_for_store_s: Annotated[float, Field(ge=0)] = Field(
        1_800.0,
        description="how long to wait for a full or absent store before pictures are dropped; until then the frames "
        "wait in Kafka, so it must be less than the retention of the frames topic",
    )
    missing_after_s: float = Field(
        60.0,
        gt=0,
        description="a frame without a result is counted as missing this long after a later frame of its partition "
        "got its result",
    )
    http_port: Port = Field(
        9301,
        description="port of the archive's /metrics, /healthz and /readyz; the other settings of [http] apply "
        "to it too",
    )
    endpoint: str | None = Field(None, description="http(s)://host[:port] of an S3 store other than Amazon's")
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,64}$", description="region of the S3 store")
    access_key_id: str | None = Field(
        None, min_length=1, description="access key; without it, the credentials of the machine are used"
    )
    secret_access_key: SecretStr | None = Field(
        None, description="secret key; secret_access_key_file or INSPECTOR_ARCHIVE__SECRET_ACCESS_KEY is safer"
    )
    secret_access_key_file: Path | None = Field(None, description="file that holds the secret key")

    @field_validator("url")
    @classmethod
    def _is_a_place(cls, url: str | None) -> str | None:
        return url if url is None or (url and not is_url(url)) else archive_url(url)

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not re.fullmatch(r"https?://[A-Za-z0-9.\[\]:-]+", endpoint):
            raise ValueError("endpoint must be an address such as https://s3.example.com, with nothing after it")
        return endpoint

    @model_validator(mode="after")
    def _are_whole(self) -> Self:
        if self.secret_access_key is not None and self.secret_access_key_file is not None:
            raise ValueError("give secret_access_key or secret_access_key_file, not both")
        if (self.access_key_id is None) != (self.secret_access_key is None and self.secret_access_key_file is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self

    @property
    def is_s3(self) -> bool:
        """Whether pictures go to an S3 store."""
        return self.url is not None and self.url.startswith("s3://")

    def read_secret_key(self) -> str | None:
        """Return the secret key; None: the credentials of the machine count.

        Raises:
            ConfigError: Its file cannot be read.
        """
        return read_secret("archive.secret_access_key", self.secret_access_key, self.secret_access_key_file)
