"""Notices another deployment that writes results for this one's cameras: with different models they would contradict each other.

Every few seconds it looks at the last records of the results topics, at the header that names the deployment that wrote them.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping

from inspector.bus.ports import ConsumedRecord, Partition, ResultTail
from inspector.errors import InspectorError
from inspector.observe.metrics import Metrics
from inspector.settings.settings import Settings

log = logging.getLogger(__name__)

MOST_RECORDS = 200
"""Of a partition at each look: all that comes at 40 results a second; above that a sample, which shows whoever goes on writing."""
CANNOT_SEE = "cannot check whether another deployment writes results for these cameras"
_LONGEST_NAME = 64
_NEVER_S = 3600.0
_SHOWN = 5


async def watch_writers(
    settings: Settings, tail: ResultTail, sent_to: Callable[[], Collection[Partition]], metrics: Metrics
) -> None:
    """Look every `second_writer_check_s` until cancelled; where that is 0, only wait.

    Args:
        settings: name the deployment and its cameras.
        tail: reads the results.
        sent_to: the partitions that this process writes to, dead letters included.
        metrics: where what is found is counted.
    """
    others = set(settings.topics.own_topics)
    watch = WriterWatch(
        tail,
        deployment=settings.deployment_name,
        cameras=[camera.key for camera in settings.cameras],
        partitions=lambda: [place for place in sent_to() if place[0] not in others],
        metrics=metrics,
    )
    interval_s = settings.second_writer_check_s
    while True:
        await asyncio.sleep(interval_s or _NEVER_S)
        if interval_s:
            await watch.look_if_possible()


class WriterWatch:
    """Looks who writes about the cameras of this deployment. Event loop only."""

    def __init__(
        self,
        tail: ResultTail,
        *,
        deployment: str,
        cameras: Iterable[str],
        partitions: Callable[[], Collection[Partition]],
        metrics: Metrics,
    ) -> None:
        """Look at the results of `cameras` (`line_id/camera_id`) in the partitions that this process writes to."""
        self._tail = tail
        self._deployment = deployment
        self._cameras = frozenset(cameras)
        self._partitions = partitions
        self._metrics = metrics

    async def look_if_possible(self) -> None:
        """Look once. That this process cannot read results stops nothing else, whatever the reason: it is told."""
        try:
            await self.look()
        except InspectorError as exc:
            log.warning("%s: %s", CANNOT_SEE, exc)
        except Exception:
            log.exception("%s", CANNOT_SEE)

    async def look(self) -> None:
        """Look once; count and tell what another deployment wrote.

        Raises:
            BusError: A topic cannot be read. What others hold was counted and told all the same.
        """
        partitions = self._partitions()
        if not partitions:
            return
        found: Counter[tuple[str, str]] = Counter()

        def tell(record: ConsumedRecord) -> None:
            camera = _text(record.key)
            if record.fault is None and camera in self._cameras:
                writer = _writer(record)
                if writer != self._deployment:
                    found[writer, camera] += 1

        try:
            await self._tail.look(partitions, tell, most=MOST_RECORDS)
        finally:
            self._tell(found)

    def _tell(self, found: Mapping[tuple[str, str], int]) -> None:
        """Count and tell what was found of others, by writer and camera."""
        for (_writer_name, camera), number in found.items():
            self._metrics.foreign_results(camera, number)
        for writer in sorted({writer for writer, _ in found}):
            cameras = sorted(camera for name, camera in found if name == writer)
            log.error(
                "%s also writes results for %s. Only one deployment may judge a camera, otherwise a gate gets two "
                "verdicts on one part: stop one of them, or remove the camera from its settings",
                f"deployment {writer}"
                if writer
                else "a writer without a deployment name (an older version of the inspector?)",
                ", ".join(cameras[:_SHOWN]) + (f" and {len(cameras) - _SHOWN} more" if len(cameras) > _SHOWN else ""),
            )


def _writer(record: ConsumedRecord) -> str:
    return next((_text(value) for name, value in record.headers if name == "deployment"), "")


def _text(value: bytes | None) -> str:
    """Return what a stranger's bytes say, as ASCII in one line."""
    return (value or b"").decode("ascii", "backslashreplace")[: 2 * _LONGEST_NAME + 1].encode("unicode_escape").decode()
