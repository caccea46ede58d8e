"""The one way to write a picture's place in a store: `s3://bucket/path/name.png` or `file:///folder/name.png`.

There is only one way to write a place, so that comparing it with a prefix is enough: no escapes, no `..`, no
user, port, query or fragment, only ASCII. Pure; imports nothing of ours.
"""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

MAX_URI_CHARACTERS: Final = 1024

StoreScheme = Literal["s3", "file"]

_BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9.-]{1,61})[a-z0-9]")
_PART = re.compile(r"[A-Za-z0-9_-](?:[A-Za-z0-9._=+,-]*[A-Za-z0-9_=+,-])?")


class StorePlace(NamedTuple):
    """A place in a store, or a folder of places."""

    scheme: StoreScheme
    bucket: str
    """Empty for `file`."""
    path: str
    """Parts joined by `/`, without one in front; one behind where it is a folder."""


def store_place(uri: str, *, folder: bool = False) -> StorePlace:
    """Return the place that `uri` spells.

    Args:
        uri: of a picture; with `folder` of all that lies in one, and then it ends in `/`.
        folder: whether a folder is meant.

    Raises:
        ValueError: Spelt in any other way; a sentence that names what is wrong.
    """
    if len(uri) > MAX_URI_CHARACTERS:
        raise ValueError(f"has {len(uri)} characters, more than {MAX_URI_CHARACTERS}")
    if uri.startswith("s3://"):
        bucket, slash, path = uri.removeprefix("s3://").partition("/")
        if not _BUCKET.fullmatch(bucket) or ".." in bucket or not slash:
            raise ValueError(
                "must continue after s3:// with a bucket name (3 to 63 of the characters a-z 0-9 . -) and a /"
            )
        place = StorePlace("s3", bucket, path)
    elif uri.startswith("file:///"):
        place = StorePlace("file", "", uri.removeprefix("file:///"))
    else:
        raise ValueError("does not begin with s3:// or file:/// in lower case; nothing else is supported")
    path = place.path
    if folder:
        if not uri.endswith("/"):
            raise ValueError("does not end with /, so it would also allow names that only begin with it")
        if not path and place.scheme == "s3":
            return place  # the whole bucket
        path = path.removesuffix("/")
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            raise ValueError(
                f"has the part {ascii(part)[:80]}; a part may consist of ASCII letters, digits and . _ = + , - and "
                "must not begin or end with a dot"
            )
    return place
