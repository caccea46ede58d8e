"""Which places a frame may name: they begin with an allowed prefix, and there is one way to write a place. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from inspector.store.errors import ClaimError, shown
from schemas.image_uri import StorePlace, store_place


@dataclass(frozen=True, slots=True)
class AllowedPlace:
    """A picture that may be fetched."""

    uri: str
    place: StorePlace
    folder: StorePlace
    """The prefix that allows it; for `file` nothing outside it is opened."""


class AllowList:
    """The prefixes of the settings."""

    def __init__(self, prefixes: Sequence[str]) -> None:
        """Take prefixes that are folders.

        Raises:
            ValueError: One is none.
        """
        self._prefixes = {prefix: store_place(prefix, folder=True) for prefix in prefixes}

    def find(self, uri: str) -> AllowedPlace:
        """Return the place that `uri` names. Sends and opens nothing.

        Raises:
            ClaimError: `image_refused`: not allowed, or not spelt as a place is.
        """
        if not self._prefixes:
            raise ClaimError("image_refused", f"image_uri {shown(uri)} is not fetched: store.allowed_prefixes is empty")
        try:
            place = store_place(uri)
        except ValueError as exc:
            raise ClaimError("image_refused", f"image_uri {shown(uri)} {exc}") from exc
        for prefix, folder in self._prefixes.items():
            if uri.startswith(prefix):
                return AllowedPlace(uri, place, folder)
        raise ClaimError("image_refused", f"image_uri {shown(uri)} is not inside any of store.allowed_prefixes")
