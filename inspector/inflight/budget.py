"""Counts the bytes in flight before they are allocated. Pure; event loop only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import TypeVar

from inspector.anomaly.domain.cache import KEPT_PIXELS, KEPT_SIZES
from inspector.settings.section import MIB
from inspector.settings.settings import Settings

K = TypeVar("K", bound=Hashable)

PREPARING_FACTOR = 8
"""How often a decoded picture a CPU thread holds while it prepares it: in float32, and as much again between the two passes
of the resize, where the model's input is as wide as the picture. A picture that is cut into tiles takes less: a few of them at a time."""

FRAME_OVERHEAD_BYTES = 4096
"""What a frame costs apart from its bytes: objects, queues, headers."""


HEARTBEATS = "heartbeats"
"""Who has reserved what heartbeats hold: frames never wait for these bytes, as a heartbeat's verdict may never be taken."""


class Budget:
    """A number of bytes that all frames in flight share."""

    def __init__(self, limit_bytes: int) -> None:
        """Allow `limit_bytes` in all."""
        if limit_bytes <= 0:
            msg = f"limit_bytes must be positive, not {limit_bytes}"
            raise ValueError(msg)
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._used_by: Counter[Hashable] = Counter()

    @property
    def free_bytes(self) -> int:
        """What may still be reserved; never negative."""
        return max(0, self.limit_bytes - self.used_bytes)

    def used_by(self, owner: Hashable) -> int:
        """Return what `owner` has reserved."""
        return self._used_by[owner]

    def hold(self, size_bytes: int, owner: Hashable = None) -> Reservation:
        """Account for bytes that exist already, even beyond the limit: the reader asked for headroom beforehand.

        Args:
            size_bytes: how many.
            owner: the partition that they came from.
        """
        return Reservation(self, self._add(size_bytes, owner), owner)

    def _add(self, size_bytes: int, owner: Hashable) -> int:
        if size_bytes < 0:
            msg = f"cannot reserve {size_bytes} bytes"
            raise ValueError(msg)
        self.used_bytes += size_bytes
        self._used_by[owner] += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return size_bytes

    def _release(self, size_bytes: int, owner: Hashable) -> None:
        self.used_bytes -= size_bytes
        self._used_by[owner] -= size_bytes
        if not self._used_by[owner]:
            del self._used_by[owner]


class Reservation:
    """One frame's share of the budget; it grows only within the limit, shrinks freely, and is given back once.

    Nothing is reserved after that, because nobody would release it.
    """

    __slots__ = ("_budget", "_is_released", "_owner", "size_bytes")

    def __init__(self, budget: Budget, size_bytes: int, owner: Hashable) -> None:
        """Made by `Budget.hold`."""
        self._budget = budget
        self._owner = owner
        self._is_released = False
        self.size_bytes = size_bytes

    def grow(self, extra_bytes: int) -> bool:
        """Add `extra_bytes` if they are free; return whether they were."""
        if extra_bytes > self._budget.free_bytes:
            return False
        self.force(extra_bytes)
        return True

    def force(self, extra_bytes: int) -> None:
        """Add `extra_bytes` whether they are free or not, where waiting for them would be waiting for ever."""
        if not self._is_released:
            self.size_bytes += self._budget._add(extra_bytes, self._owner)  # noqa: SLF001 the two classes are one module's

    def shrink_to(self, size_bytes: int) -> None:
        """Give back what exceeds `size_bytes`; never grows."""
        surplus = self.size_bytes - max(0, size_bytes)
        if surplus > 0:
            self.size_bytes -= surplus
            self._budget._release(surplus, self._owner)  # noqa: SLF001

    def release(self) -> None:
        """Give everything back, for good; a second call does nothing."""
        self.shrink_to(0)
        self._is_released = True


def fetched_bytes(settings: Settings) -> int:
    """Return what one fetch brings of one partition at most, and how far its record batches are inflated where they are compressed."""
    return max(settings.partition_fetch_bytes, settings.limits.max_message_bytes)


def chunk_bytes(settings: Settings) -> int:
    """Return what one read of one partition holds at most.

    That is the records and the images that parsing copies out of them.
    """
    return 2 * fetched_bytes(settings)


def largest_decoding_bytes(settings: Settings) -> int:
    """Return the bytes kept free for decoding, and so the most that one frame's decoding may take.

    The reader leaves this much alone; so a frame that waits for its turn to be decoded always gets it in the end, however
    many encoded frames wait behind it.
    """
    needed = _DECODING_BYTES_PER_PIXEL * settings.limits.max_pixels + _LARGEST_MAP_BYTES
    return min(needed, settings.limits.max_bytes_in_flight // 2)


def headroom_chunks(settings: Settings, budget: Budget) -> int:
    """Return how many partitions may be read now; at least one when nothing but heartbeats is in flight, however little room there is."""
    room = (room_bytes(settings) - budget.used_bytes) // chunk_bytes(settings)
    return max(room, 1 if budget.used_bytes == budget.used_by(HEARTBEATS) else 0)


def partitions_to_read(
    settings: Settings, budget: Budget, partitions: Sequence[K], has_more: Callable[[K], bool]
) -> list[K]:
    """Return the partitions to read now: as many as there is room for, those that have little in flight first.

    A partition that has its equal share in flight leaves a chunk for each that has not, up to half of all there are: so however much one
    brings, what comes in another is read at once.

    Args:
        settings: whose limits hold.
        budget: what is in flight.
        partitions: that may be read; of those that have as much in flight, the first go first.
        has_more: whether a partition is known to have something to read; those that are not come last.
    """
    room, chunk = headroom_chunks(settings, budget), chunk_bytes(settings)
    share = max(chunk, room_bytes(settings) // max(1, len(partitions)))
    light = {partition for partition in partitions if budget.used_by(partition) + chunk <= share}
    kept = min(len(light), room_bytes(settings) // chunk // 2)
    chosen: list[K] = []
    for partition in sorted(partitions, key=lambda partition: (not has_more(partition), budget.used_by(partition))):
        if partition in light:
            kept -= 1
        elif room <= max(0, kept):
            continue
        if room > 0:
            chosen.append(partition)
            room -= 1
    return chosen


def room_bytes(settings: Settings) -> int:
    """Return what reading and fetching may fill."""
    return settings.limits.max_bytes_in_flight - largest_decoding_bytes(settings)


def memory_bound_bytes(
    settings: Settings,
    *,
    partitions: int,
    workers: int,
    device_threads: int,
    domains: int,
    fetch_bytes: int,
    send_bytes: int,
) -> int:
    """Return how far memory may grow above that of the idle, warmed-up service.

    Args:
        settings: whose limits hold.
        partitions: assigned to this process.
        workers: threads that encode, besides decoding or not.
        device_threads: threads that score.
        domains: regions of interest that the models have, each with masks of its own.
        fetch_bytes: the largest answer of a broker.
        send_bytes: the largest record batch that is sent, of which each partition of the outputs may have two.
    """
    limits = settings.limits
    # aiokafka holds up to one fetch of each partition, and what its last record batch was inflated to while it is not read to its end;
    # a codec's window may take as much again.
    fetched = (2 * partitions + 1) * fetched_bytes(settings)
    answer = 2 * max(fetch_bytes, settings.partition_fetch_bytes)  # as received, and cut into partitions
    encoding = workers * limits.max_pixels * _ENCODING_BYTES_PER_PIXEL
    pictures = min(device_threads * _largest_picture_bytes(settings), limits.max_bytes_in_flight)
    preparing = pictures * (1 if settings.on_gpu else PREPARING_FACTOR)  # a GPU has the float32 in its own memory
    masks = domains * KEPT_SIZES * min(KEPT_PIXELS, limits.max_pixels)
    sending = 2 * settings.topics.frames_partitions * send_bytes
    beyond = (
        chunk_bytes(settings) + largest_decoding_bytes(settings) + limits.max_frames_in_flight * FRAME_OVERHEAD_BYTES
    )
    looking = 2 * LOOK_BYTES if settings.second_writer_check_s else 0  # as answer
    tracing = 0
    if settings.tracing.endpoint is not None:
        tracing = settings.tracing.max_queued_frames * TRACED_FRAME_BYTES + SENDING_SPANS_BYTES
    shadow = 0
    if settings.releases.is_on:
        # Encoded pictures, that which is scored among them; one picture decoded and one record encoded; records that wait, and are sent.
        one = largest_decoding_bytes(settings) + limits.max_pixels * _ENCODING_BYTES_PER_PIXEL
        shadow = settings.releases.shadow_bytes + one + SHADOW_UNSENT_BYTES + 2 * send_bytes
    working = encoding + preparing + masks + sending + looking + tracing + shadow
    return limits.max_bytes_in_flight + beyond + fetched + answer + working


def _largest_picture_bytes(settings: Settings) -> int:
    return min(3 * settings.limits.max_pixels, largest_decoding_bytes(settings))


TRACED_FRAME_BYTES = 8192
"""What is kept of a traced frame until its spans are made, at most: its words are bounded, and so are its stages."""

SENDING_SPANS_BYTES = 2 * MIB
"""The spans of one request to a collector, made and encoded."""

SHADOW_UNSENT_BYTES = 8 * MIB
"""What is said of frames by models on trial and not sent: 16 records (`stages/shadow`), whose regions are bounded by the wire."""

LOOK_BYTES = 2 * MIB
"""The largest answer to a look at the results (`bus/reading/tail`), which may be a record batch above its own megabyte."""

_LARGEST_MAP_BYTES = 4 * MIB
"""A map of 1024 x 1024 pixels, the largest input of a model, in float32."""

_DECODING_BYTES_PER_PIXEL = 2 * 3
"""Colour, as the decoder holds it and copied into an array."""

_ENCODING_BYTES_PER_PIXEL = 4 + 1 + 1 + 4
"""What thresholding a map at original size takes: the map, its mask, that of a domain, and the labels of its components."""
