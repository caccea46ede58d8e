"""How the place of an archive is written: a folder, or `s3://bucket/prefix`. Settings of writer and reader share this module."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

_S3: Final = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9_./-]*)?")


def is_url(place: str) -> bool:
    """Return whether a place is meant as that of a store, and not as a folder."""
    return "://" in place


def archive_url(place: str) -> str:
    """Return the one spelling of an archive's place in a store: `s3://bucket/prefix`, without / at its end.

    Raises:
        ValueError: It is not of this form.
    """
    if not _S3.fullmatch(place) or ".." in place or "//" in place.removeprefix("s3://"):
        raise ValueError(f"{place!r} is neither a folder nor of the form s3://bucket/prefix")
    return place.rstrip("/")


def archive_place(place: Path | str) -> Path | str:
    """Return a folder as a path, and a place in a store as a text in its one spelling.

    Raises:
        ValueError: It is a URL of another form.
    """
    if isinstance(place, Path) or not is_url(place):
        return Path(place)
    return archive_url(place)
