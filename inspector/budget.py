"""Bytes in flight, counted before they are allocated. Pure; event loop only."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """A number of bytes that all frames in flight share."""

    def __init__(self, limit_bytes: int, *, on_release: Callable[[], None] | None = None) -> None:
        """Allow `limit_bytes` in all; `on_release` is called after each release."""
        if limit_bytes <= 0:
            msg = f"limit_bytes must be positive, not {limit_bytes}"
            raise ValueError(msg)
        self.limit_bytes = limit_bytes
        self.used_bytes = 0
        self.peak_bytes = 0
        self._on_release = on_release

    @property
    def free_bytes(self) -> int:
        """What may still be reserved; never negative."""
        return max(0, self.limit_bytes - self.used_bytes)

    def hold(self, size_bytes: int) -> Reservation:
        """Account for bytes that exist already, even beyond the limit: the reader asked for headroom beforehand."""
        return Reservation(self, self._add(size_bytes))

    def _add(self, size_bytes: int) -> int:
        if size_bytes < 0:
            msg = f"cannot reserve {size_bytes} bytes"
            raise ValueError(msg)
        self.used_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.used_bytes)
        return size_bytes

    def _release(self, size_bytes: int) -> None:
        self.used_bytes -= size_bytes
        if size_bytes and self._on_release is not None:
            self._on_release()


class Reservation:
    """One frame's share of the budget; it grows only within the limit, shrinks freely, and is given back once."""

    __slots__ = ("_budget", "size_bytes")

    def __init__(self, budget: Budget, size_bytes: int) -> None:
        """Made by `Budget.hold`."""
        self._budget = budget
        self.size_bytes = size_bytes

    def grow(self, extra_bytes: int) -> bool:
        """Add `extra_bytes` if they are free; return whether they were."""
        if extra_bytes > self._budget.free_bytes:
            return False
        self.size_bytes += self._budget._add(extra_bytes)  # noqa: SLF001 the two classes are one module's
        return True

    def shrink_to(self, size_bytes: int) -> None:
        """Give back what exceeds `size_bytes`; never grows."""
        surplus = self.size_bytes - max(0, size_bytes)
        if surplus > 0:
            self.size_bytes -= surplus
            self._budget._release(surplus)  # noqa: SLF001

    def release(self) -> None:
        """Give everything back; a second call does nothing."""
        self.shrink_to(0)
