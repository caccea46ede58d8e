"""Carries out the trainer's commands: reads the inspector's settings, uploads bundles, writes changes to the journal."""

from __future__ import annotations

import asyncio
import getpass
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from inspector.bundles.place import BundlePlace
from inspector.bundles.upload import upload_bundle
from inspector.errors import ConfigError
from inspector.releases.errors import ReleaseError
from inspector.releases.journal import Change, Written, connect_journal
from inspector.settings.commands import camera_ids
from inspector.settings.file import load_settings
from inspector.settings.settings import Settings
from schemas import BundleReference, ModelRelease


class Desk:
    """The releases of one deployment, as its settings file says."""

    def __init__(self, config: Path | None, *, bootstrap: str | None = None, store: str | None = None) -> None:
        """Read the settings; nothing connects.

        Args:
            config: the inspector's own file; None: environment and defaults.
            bootstrap: instead of its `kafka.bootstrap_servers`.
            store: instead of its `releases.store`.

        Raises:
            ConfigError: They are wrong, or name no store.
        """
        overrides: dict[str, Any] = {} if bootstrap is None else {"kafka": {"bootstrap_servers": bootstrap}}
        if store is not None:
            overrides["releases"] = {"store": store, "cache": "unused"}  # only an inspector fetches
        self._settings = load_settings(config, overrides=overrides)

    @property
    def settings(self) -> Settings:
        """As they were read."""
        return self._settings

    def cameras(self, names: Sequence[str]) -> list[tuple[str, str]]:
        """Return line and camera of each `LINE/CAMERA`.

        Raises:
            ConfigError: Not two ids, or none of the cameras that the settings name.
        """
        known = [camera.key for camera in self._settings.cameras]
        found = []
        for name in dict.fromkeys(names):
            try:
                found.append(camera_ids(name))
            except ValueError as exc:
                raise ConfigError(
                    f"--camera: {name!r} is not a camera; give LINE/CAMERA; letters, digits, _ and -"
                ) from exc
            if known and name not in known:
                raise ConfigError(f"--camera: the settings do not contain the camera {name}, only {', '.join(known)}")
        return found

    def upload(self, bundle: Path) -> BundleReference:
        """Bring a bundle into the store. Loads torch.

        Raises:
            ConfigError: No store is named.
            BundleError: It is not a bundle, or was changed.
            BundleStoreError: The store does not take it.
        """
        store = self._settings.releases.store
        if store is None:
            raise ConfigError("there is no store: set releases.store in the inspector's settings, or give --store")
        return upload_bundle(bundle, BundlePlace(store, self._settings.store))

    def change(self, cameras: Sequence[tuple[str, str]], change: Change) -> list[Outcome]:
        """Write a change for each camera, one after the other; a refusal for one camera does not stop the others.

        Raises:
            BusError: No broker answers, or it refuses this client.
        """
        return asyncio.run(self._change(cameras, change))

    async def _change(self, cameras: Sequence[tuple[str, str]], change: Change) -> list[Outcome]:
        outcomes = []
        async with connect_journal(self._settings, writes=True) as journal:
            for line_id, camera_id in cameras:
                try:
                    outcomes.append(Outcome(f"{line_id}/{camera_id}", await journal.change(line_id, camera_id, change)))
                except ReleaseError as exc:
                    outcomes.append(Outcome(f"{line_id}/{camera_id}", None, str(exc)))
        return outcomes

    def releases(self) -> dict[str, ModelRelease]:
        """Return the last release of each camera.

        Raises:
            BusError: The topic cannot be read.
        """

        async def read() -> dict[str, ModelRelease]:
            async with connect_journal(self._settings, writes=False) as journal:
                return await journal.releases()

        return asyncio.run(read())


class Outcome(NamedTuple):
    """The outcome of a change to one camera."""

    camera: str
    written: Written | None
    refusal: str = ""


def who_am_i() -> str:
    """Return `user@host`, the default name; printable ASCII."""
    name = f"{getpass.getuser()}@{socket.gethostname()}"
    return "".join(letter if "!" <= letter <= "~" else "_" for letter in name)[:128]
