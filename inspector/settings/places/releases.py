"""Settings of model releases: the store of bundles, and the cache that is used if the store does not answer."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from inspector.settings.section import MIB, Positive, Section
from schemas.image_uri import store_place


class ReleaseSettings(Section):
    """Models that are changed while the service runs (`trainer release`). Off unless a store is named."""

    store: str | None = Field(
        None,
        description='folder of bundles, "s3://models/line1/" or "file:///srv/models/"; nothing outside it is fetched. '
        "Address and keys of S3 are taken from [store]. Without a store, models change only with this file",
    )
    cache: Path | None = Field(
        None,
        description="folder to which bundles are fetched, and from which they are loaded when the store or the "
        "topic cannot be reached",
    )
    cache_bytes: Positive = Field(
        4096 * MIB,
        description="maximum size of the cache; above it, the bundles used longest ago are deleted, but "
        "never one in use",
    )
    max_bundle_bytes: Positive = Field(
        2048 * MIB, description="maximum size of a bundle; a larger one is refused before it is fetched"
    )
    shadow_bytes: Positive = Field(
        64 * MIB,
        description="maximum size of the frames that wait until the device has time to score them with a model on trial; "
        "frames that do not fit are not scored by it",
    )
    wait_s: float = Field(
        30.0,
        gt=0,
        le=3600,
        description="how long to wait for the topic of releases at the start; after that, the models are those in the "
        "cache",
    )

    @field_validator("store")
    @classmethod
    def _is_a_folder(cls, store: str | None) -> str | None:
        if store is None:
            return None
        try:
            store_place(store, folder=True)
        except ValueError as exc:
            raise ValueError(f"{store!r} {exc}") from exc
        return store

    @model_validator(mode="after")
    def _has_a_cache(self) -> Self:
        if self.store is not None and self.cache is None:
            raise ValueError("store needs cache: a folder of this deployment on this machine, which survives a restart")
        return self

    @property
    def is_on(self) -> bool:
        """Whether releases are read at all."""
        return self.store is not None

    @property
    def uses_s3(self) -> bool:
        """Whether bundles lie in an S3 store."""
        return self.store is not None and self.store.startswith("s3://")
