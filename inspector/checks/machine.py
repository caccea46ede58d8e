"""Whether this machine has what the settings name: bundles, certificates, addresses, the device, cores. It loads what it checks.

Every fault is a sentence that begins with the setting's name.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from inspector.anomaly.network.cores import usable_cores
from inspector.checks.certificates import certificate_faults
from inspector.errors import MissingExtraError
from inspector.settings.places.releases import ReleaseSettings
from inspector.settings.places.store import StoreSettings
from inspector.settings.settings import Settings
from inspector.store.folder import absent_folders

THREADS_PER_CORE = 4
"""More threads than this for each core only wait for each other."""
_MOST_THREADS = 64
"""So many are let pass on any machine: settings are written on one and used on another."""


def machine_faults(settings: Settings) -> list[str]:
    """Return a sentence for each thing that is missing or wrong; the contents of bundles are not checked."""
    return [*boot_faults(settings), *_folders(settings.store), *_releases(settings.releases), *_device(settings)]


def boot_faults(settings: Settings) -> list[str]:
    """Return those sentences for which neither the device nor a folder of pictures is asked, which may hang or come later.

    `run` asks them when the watchdog watches and health answers.
    """
    return [
        *certificate_faults(settings),
        *_address(settings),
        *_extras(settings),
        *_threads(settings),
    ]


def bundle_faults(settings: Settings) -> list[str]:
    """Return a sentence for each model whose bundle is missing, damaged or not the one of its digest.

    Reads manifests and no weights; only loading tells whether these are whole and score as they did.
    """
    return [fault for name, path in settings.models.items() for fault in _bundle(name, path, settings)]


def _bundle(name: str, path: Path, settings: Settings) -> Iterator[str]:
    digests = settings.model_digests
    manifest = path / "bundle.json"
    if not manifest.is_file():
        yield f"models.{name}: {path} does not contain bundle.json; `trainer fit` creates such a folder"
        return
    try:
        from inspector.anomaly.errors import BundleError  # noqa: PLC0415 the clients' install lacks what it needs
        from inspector.anomaly.model.manifest import read_manifest  # noqa: PLC0415
        from inspector.anomaly.model.signature import Signers  # noqa: PLC0415

        wants_signature = bool(settings.trusted_keys or settings.require_signature)
        if wants_signature and importlib.util.find_spec("cryptography") is None:
            yield f"models.{name}: signatures cannot be checked here: {MissingExtraError('cryptography', 'inspector')}"
            return
    except ModuleNotFoundError:
        found = hashlib.sha256(manifest.read_bytes()).hexdigest()
        if digests.get(name, found) != found:
            yield f"model_digests.{name}: {manifest} has SHA-256 {found}, not {digests[name]}"
        return
    try:
        signers = Signers.of_files(settings.trusted_keys, is_required=settings.require_signature)
        read, _ = read_manifest(path, digest=digests.get(name), signers=signers)
    except BundleError as exc:
        yield f"models.{name}: {exc}"
        return
    if read.thresholds is None:
        yield f"models.{name}: {path} has no thresholds; train it with `trainer fit`"


def _address(settings: Settings) -> Iterator[str]:
    host = settings.http.host
    try:
        found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        yield f"http.host: {host!r} is not an address: {exc}; give an address of this machine, such as 127.0.0.1"
        return
    family, kind, protocol, _, address = found[0]
    with contextlib.closing(socket.socket(family, kind, protocol)) as probe:
        try:
            probe.bind(address)
        except OSError as exc:
            yield f"http.host: {host!r} is not an address of this machine: {exc}; give one, such as 127.0.0.1"


def _folders(store: StoreSettings) -> Iterator[str]:
    for prefix in absent_folders(store.allowed_prefixes):
        yield f"store.allowed_prefixes: {prefix} is not a folder on this machine; create it, or leave out the prefix"


def _releases(releases: ReleaseSettings) -> Iterator[str]:
    if releases.store is not None:
        for folder in absent_folders([releases.store]):
            yield f"releases.store: {folder} is not a folder on this machine; create it, or mount it"
    if releases.cache is not None:
        above = next(folder for folder in (releases.cache, *releases.cache.absolute().parents) if folder.exists())
        if not above.is_dir() or not os.access(above, os.W_OK):
            yield f"releases.cache: {releases.cache} cannot be created or written to; give a folder on this machine"


def _extras(settings: Settings) -> Iterator[str]:
    wanting = {"store.access_key_id": settings.store.access_key_id, "releases.store": settings.releases.store}
    for name, wants in wanting.items():
        if wants is not None and importlib.util.find_spec("obstore") is None:
            yield f"{name}: {MissingExtraError('obstore', 'store')}"
    if settings.tracing.endpoint is not None and not _has_opentelemetry():
        yield f"tracing.endpoint: {MissingExtraError('opentelemetry', 'otel')}"


def _has_opentelemetry() -> bool:
    try:
        return all(importlib.util.find_spec(f"opentelemetry.{name}") for name in ("sdk", "exporter.otlp.proto.http"))
    except ModuleNotFoundError:  # of a package that one of them lies in
        return False


def _device(settings: Settings) -> Iterator[str]:
    if not settings.on_gpu:
        return
    try:
        from inspector.anomaly.errors import ParameterError  # noqa: PLC0415 as above
        from inspector.anomaly.network.device import available_device  # noqa: PLC0415
    except ModuleNotFoundError as exc:
        yield f"device: {settings.device} cannot be checked, because {exc.name} is not installed"
        return
    try:
        available_device(settings.device)
    except ParameterError as exc:
        yield f"device: {exc}"


def _threads(settings: Settings) -> Iterator[str]:
    cores = usable_cores()
    most = max(_MOST_THREADS, THREADS_PER_CORE * cores)
    for name in ("decode_threads", "device_threads", "torch_threads"):
        number = getattr(settings, name)
        if number > most:
            yield f"{name}: {number} threads are too many for {cores} cores; give at most {most}, or leave it out"
