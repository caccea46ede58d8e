"""From a bundle in the store to a model that is warmed up, on a thread of its own that takes no time from the device threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from inspector.anomaly.errors import BundleError, GoldenSampleError
from inspector.bundles.cache import BundleCache
from inspector.bundles.download import download_bundle
from inspector.bundles.errors import BundleStoreError
from inspector.bundles.place import BundlePlace
from inspector.errors import DeviceLostError, ModelError
from inspector.inflight.fault import device_fault
from inspector.inflight.loading import set_torch_threads
from inspector.inflight.registry import warm_up_model
from inspector.inflight.route import Model
from inspector.loop.workers import give_way
from inspector.settings.settings import Settings
from inspector.swap.marks import TrialMarks
from inspector.swap.memory import wanting_bytes
from inspector.swap.refusal import ReleaseRefusedError
from schemas import BundleReference, ModelRelease

if TYPE_CHECKING:
    from inspector.anomaly.model.signature import Signers

log = logging.getLogger(__name__)

LOADER_NICE: Final = 10
"""How much the thread that loads gives way to those that decode and score."""

TIMED: Final = 3
"""So many frames show how long a model on trial takes for one."""


class BundleLoader:
    """Fetches, verifies, loads and warms up. Blocking; on one thread, the loader's."""

    def __init__(
        self,
        settings: Settings,
        read_model: Callable[[Path], Model],
        *,
        exceeded: Callable[[Model, int], object] = lambda _model, _size: None,
    ) -> None:
        """Make the cache's folder; nothing connects.

        Args:
            settings: with releases on.
            read_model: loads and verifies a bundle, and scores its golden samples.
            exceeded: told of a model and a batch that the device has no room for.

        Raises:
            ConfigError: The cache cannot be written to, or releases are off.
            MissingExtraError: What the store needs is not installed.
        """
        releases = settings.releases
        if releases.store is None or releases.cache is None:
            raise ValueError("there is no loader without releases.store and releases.cache")
        self._settings = settings
        self._read_model = read_model
        self._exceeded = exceeded
        self._place = BundlePlace(releases.store, settings.store)
        self.cache = BundleCache(releases.cache, releases.cache_bytes)
        self.marks = TrialMarks(releases.cache)
        self._prepared = threading.local()

    def load(self, bundle: BundleReference, *, tried: Model | None = None, longest_s: float | None = None) -> Model:
        """Return the model of a bundle, fetched where it is not in the cache.

        Args:
            bundle: which one.
            tried: its model, if it is here and was warmed up for a trial alone: it is warmed up for batches.
            longest_s: for a trial: single frames alone are warmed up, and one that takes longer refuses it.

        Raises:
            BundleStoreError: It cannot be fetched, or is not what the release says.
            ReleaseRefusedError: It is that, and cannot judge.
            DeviceLostError: The device is of no use any more.
        """
        self._prepare()
        try:
            model = self._read(bundle) if tried is None else tried
            self._warm_up(bundle, model, [1] if longest_s is not None else self.batch_sizes)
            if longest_s is not None:
                self._check_pace(bundle, model, longest_s)
            return model  # noqa: TRY300 `else` would not catch what these raise
        except (BundleStoreError, ReleaseRefusedError, DeviceLostError):
            raise
        except OSError as exc:
            raise BundleStoreError("no_room", f"{_named(bundle)} cannot be read from the cache: {exc}") from exc
        except Exception as exc:  # whatever it is, the model before goes on
            fault = device_fault(exc)
            if fault == "lost":
                raise DeviceLostError(f"the device is lost: {exc}") from exc
            # What is doubtful is a device without room for a handle, while the line runs on it: another try may find room.
            is_memory = fault in {"memory", "doubtful"}
            sentence = f"{_named(bundle)}: {type(exc).__name__}: {exc}"
            raise ReleaseRefusedError("memory" if is_memory else "bundle", sentence) from exc

    def _read(self, bundle: BundleReference) -> Model:
        digest = bundle.model.digest
        path = self.cache.fetch(digest, partial(self._download, bundle))
        wanting = wanting_bytes(path, self._settings.device)
        if wanting:
            raise ReleaseRefusedError(
                "memory",
                f"{_named(bundle)} does not fit into memory: {wanting >> 20} MiB are missing",
            )
        model = self._read_verified(bundle, path)
        if model.thresholds is None:
            raise ReleaseRefusedError("thresholds", f"{_named(bundle)} has no thresholds; train it with `trainer fit`")
        return model

    def _warm_up(self, bundle: BundleReference, model: Model, sizes: Sequence[int]) -> float:
        """Run batches of these sizes; return the seconds of the slowest."""
        try:
            return warm_up_model(model, sizes, self._exceeded, is_doubt_fatal=False)
        except ModelError as exc:
            raise ReleaseRefusedError("memory", f"{_named(bundle)}: {exc}") from exc

    def _check_pace(self, bundle: BundleReference, model: Model, longest_s: float) -> None:
        """Refuse a model that takes longer for a frame, by the quickest of a few: the line computes beside it."""
        took_s = min(self._warm_up(bundle, model, [1]) for _ in range(TIMED))
        if took_s > longest_s:
            raise ReleaseRefusedError(
                "shadow",
                f"{_named(bundle)}: a frame takes it {took_s:.3f} s, more than {longest_s:.3f} s, "
                "a quarter of the shortest budget: it could cost the line a deadline",
            )

    @property
    def batch_sizes(self) -> Sequence[int]:
        """What a model is warmed up with."""
        return sorted({1, self._settings.batching.max_batch_size})

    def keep(self, release: ModelRelease, in_use: set[str]) -> None:
        """Note a release as the last known good of its camera, and remove what the cache has too much.

        Raises:
            BundleStoreError: It cannot be written.
        """
        self.cache.keep(release)
        try:
            self.cache.evict(in_use)
        except OSError as exc:  # another process of the deployment tidies up, too
            log.warning("the cache of bundles could not be cleaned up: %s", exc)

    def _read_verified(self, bundle: BundleReference, path: Path) -> Model:
        digest = bundle.model.digest
        try:
            model = self._read_model(path)
        except GoldenSampleError as exc:
            if exc.__cause__ is not None and device_fault(exc.__cause__) != "other":
                raise exc.__cause__ from exc  # it says nothing of the bundle
            raise ReleaseRefusedError("golden", f"{_named(bundle)}: {exc}") from exc
        except BundleError as exc:
            self.cache.discard(digest)  # whoever spoilt it: the next try fetches it anew
            raise ReleaseRefusedError("bundle", f"{_named(bundle)}: {exc}") from exc
        if model.digest != digest:
            self.cache.discard(digest)
            raise ReleaseRefusedError("bundle", f"{_named(bundle)}: what was loaded has digest {model.digest}")
        return model

    def _download(self, bundle: BundleReference, into: Path) -> None:
        download_bundle(
            bundle.url,
            bundle.model.digest,
            self._place,
            into,
            read_signers=self._signers,
            max_bytes=self._settings.releases.max_bundle_bytes,
        )

    def _signers(self) -> Signers:
        from inspector.anomaly.model.signature import Signers  # noqa: PLC0415

        return Signers.of_files(self._settings.trusted_keys, is_required=self._settings.require_signature)

    def _prepare(self) -> None:
        """Let this thread give way to the others, once."""
        if getattr(self._prepared, "is_done", False):
            return
        self._prepared.is_done = True
        set_torch_threads(self._settings.torch_threads)
        give_way(LOADER_NICE)


def _named(bundle: BundleReference) -> str:
    model = bundle.model
    return f"{model.name} {model.version} ({model.digest[:12]})"
