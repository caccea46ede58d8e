"""Settings of the store that holds pictures which frames only name (`image_uri`)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator

from inspector.credentials.secrets import read_secret
from inspector.settings.section import Positive, Section
from schemas.image_uri import store_place


class StoreSettings(Section):
    """Where pictures may be fetched from. By default they may not be fetched from anywhere."""

    allowed_prefixes: tuple[str, ...] = Field(
        (),
        description='folders that image_uri may refer to: "s3://bucket/lines/", "file:///srv/frames/"; all others are '
        "refused",
    )
    endpoint: str | None = Field(
        None,
        description="http(s)://host[:port] of the S3 store; no requests go to other hosts, and redirects are not "
        "followed",
    )
    region: str = Field("us-east-1", pattern=r"^[a-z0-9-]{1,64}$", description="region of the S3 store")
    access_key_id: str | None = Field(None, min_length=1, description="access key; without it, requests are not signed")
    secret_access_key: SecretStr | None = Field(
        None, description="secret key; secret_access_key_file or INSPECTOR_STORE__SECRET_ACCESS_KEY is safer"
    )
    secret_access_key_file: Path | None = Field(None, description="file that holds the secret key")
    fetch_timeout_ms: Positive = Field(
        2_000,
        description="if a picture has not been fetched after this time, its frame is answered as image_unreachable; "
        "the frame's deadline may end the attempt earlier",
    )
    concurrency: Annotated[int, Field(ge=1, le=256)] = Field(
        8,
        description="maximum number of pictures fetched at the same time; one camera may use all but one of these "
        "places",
    )

    @field_validator("allowed_prefixes")
    @classmethod
    def _are_folders(cls, prefixes: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in prefixes:
            try:
                store_place(prefix, folder=True)
            except ValueError as exc:
                raise ValueError(f"{prefix!r} {exc}") from exc
        return prefixes

    @field_validator("endpoint")
    @classmethod
    def _is_an_address(cls, endpoint: str | None) -> str | None:
        if endpoint is None:
            return None
        shown = re.sub("//.*@", "//...@", endpoint)  # who writes a password there must not read it in a log
        message = f"{shown!r} is not an address such as https://s3.example.com or http://127.0.0.1:9000, with nothing behind it"
        try:
            parts = urlsplit(endpoint)
            is_bare = parts.port != 0 and not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        except ValueError as exc:
            raise ValueError(message) from exc
        if parts.scheme not in {"http", "https"} or not parts.hostname or not is_bare or not endpoint.isascii():
            raise ValueError(message)
        return endpoint

    @model_validator(mode="after")
    def _are_whole(self) -> Self:
        if self.uses_s3 and self.endpoint is None:
            raise ValueError("endpoint is needed for s3:// prefixes, such as https://s3.eu-central-1.amazonaws.com")
        if self.secret_access_key is not None and self.secret_access_key_file is not None:
            raise ValueError("give secret_access_key or secret_access_key_file, not both")
        if (self.access_key_id is None) != (self.secret_access_key is None and self.secret_access_key_file is None):
            raise ValueError("access_key_id and secret_access_key go together")
        return self

    def read_secret_key(self) -> str | None:
        """Return the secret key; None: requests are not signed.

        Raises:
            ConfigError: Its file cannot be read.
        """
        return read_secret("store.secret_access_key", self.secret_access_key, self.secret_access_key_file)

    @property
    def uses_s3(self) -> bool:
        """Whether pictures may lie in an S3 store."""
        return any(prefix.startswith("s3://") for prefix in self.allowed_prefixes)
