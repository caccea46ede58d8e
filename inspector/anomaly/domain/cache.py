"""Keeps what is computed from a domain for as long as the domain exists, also if several models share it."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

from inspector.anomaly.domain.domain import ImageDomain

T = TypeVar("T")

KEPT_PIXELS = 4 * 2**20
"""Masks of larger pictures are made anew each time: what is kept must not outgrow what is in flight."""

KEPT_SIZES = 4
"""Sizes of picture whose masks are kept for a domain; a camera has one, or two where its JPEGs are reduced."""


class PerDomain(Generic[T]):
    """Keeps a few values for each domain, those used last. Thread safe.

    Args:
        limit: Values that are kept for each domain.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._kept: WeakKeyDictionary[ImageDomain, OrderedDict[Hashable, T]] = WeakKeyDictionary()

    def get(self, domain: ImageDomain, key: Hashable, make: Callable[[], T]) -> T:
        """Return the value of this key, made where there is none. Neither may hold the domain, or both would stay for good."""
        with self._lock:
            values = self._kept.setdefault(domain, OrderedDict())
            if key in values:
                values.move_to_end(key)
                return values[key]
        value = make()  # two threads may both make it, which is better than that all wait
        with self._lock:
            values[key] = value
            values.move_to_end(key)
            while len(values) > self._limit:
                values.popitem(last=False)
        return value
