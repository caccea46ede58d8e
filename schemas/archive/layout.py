"""The archive of images: how a file is named. Writer and reader share this module.

    <root>/<line_id>/<camera_id>/<YYYY-MM-DD>/<ok|nok>/<captured_at>_<seq>_<part_id>.<jpg|png|...>

* `line_id`, `camera_id` and `part_id` are the frame's, 1 to 64 of `A-Z a-z 0-9 _ -` each.
* `captured_at` is in µs since 1970-01-01 UTC, `seq` counts the camera's frames; decimal, without leading zeros.
* The day is that of `captured_at` in UTC.
* The suffix is one of `SUFFIXES`.
* `ok` or `nok` is the label of the image. To correct a verdict, move the file to the other folder.
* A mask lies beside its image, with `.mask.png` in place of the suffix; values above 0 are anomalous.
* Hidden files and folders (a leading dot) are not images of the archive: the writer keeps its index there (`INDEX_DIR`), and
  pictures that no model has judged (`UNINSPECTED_DIR`), because nobody knows whether their parts are good.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath
from typing import Final, cast, get_args

from schemas.base import ID_PATTERN, MAX_CAPTURED_AT, MAX_INTEGER
from schemas.identity import result_id_of_frame
from schemas.result import AnomalyClass

SUFFIXES: Final = (
    "bmp", "j2k", "jp2", "jpeg", "jpg", "pbm", "pgm", "png", "pnm", "ppm", "tif", "tiff", "webp",
)  # fmt: skip
"""Of images, without the dot: the formats that the trainer reads."""

MASK_SUFFIX: Final = ".mask.png"
INDEX_DIR: Final = ".index"
"""Folder in a day's folder that holds the index of the day as Parquet files."""
UNINSPECTED_DIR: Final = ".uninspected"
"""Folder in a day's folder of pictures whose result has another status than `inspected`."""
MARKER_FILE: Final = ".line-inspector-archive"
"""File at the archive's root that says that this folder is one: a mount point without its disk has none."""

_ID = ID_PATTERN.removeprefix("^").removesuffix("$")
_NUMBER = "0|[1-9][0-9]{0,15}"
_NAME = re.compile(
    rf"(?P<line_id>{_ID})/(?P<camera_id>{_ID})/(?P<day>[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}})/(?P<label>ok|nok)/"
    rf"(?P<captured_at>{_NUMBER})_(?P<seq>{_NUMBER})_(?P<part_id>{_ID})\.(?P<suffix>{'|'.join(SUFFIXES)})"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ArchivedImage:
    """One image of the archive.

    Raises:
        ValueError: A part contains a character that a name must not contain.
    """

    line_id: str
    camera_id: str
    part_id: str
    seq: int
    captured_at: int
    label: AnomalyClass
    suffix: str = "jpg"
    """Of a format that is read, without the dot."""

    def __post_init__(self) -> None:
        for field in ("line_id", "camera_id", "part_id"):
            if not re.fullmatch(_ID, getattr(self, field)):
                raise ValueError(f"{field} is {getattr(self, field)!r}; use 1 to 64 of A-Z a-z 0-9 _ -")
        for field, largest in (("seq", MAX_INTEGER), ("captured_at", MAX_CAPTURED_AT)):
            if not 0 <= getattr(self, field) <= largest:
                raise ValueError(f"{field} is {getattr(self, field)}; it lies between 0 and {largest}")
        if self.label not in get_args(AnomalyClass):
            raise ValueError(f"label is {self.label!r}; use ok or nok")
        if self.suffix not in SUFFIXES:
            raise ValueError(f"suffix is {self.suffix!r}; use one of {', '.join(SUFFIXES)}")

    @property
    def result_id(self) -> str:
        """Identifier of the results about this picture, see `result_id_of_frame`."""
        return result_id_of_frame(self.line_id, self.camera_id, self.part_id, self.seq, self.captured_at)


def day_of(captured_at: int) -> str:
    """Return the day in UTC, `YYYY-MM-DD`, of a time in µs since 1970-01-01 UTC."""
    return (_EPOCH + timedelta(microseconds=captured_at)).date().isoformat()


def day_folder(line_id: str, camera_id: str, day: str) -> PurePosixPath:
    """Return the folder of one camera's day, relative to the archive's root."""
    return PurePosixPath(line_id, camera_id, day)


def archive_name(image: ArchivedImage, *, is_inspected: bool = True) -> PurePosixPath:
    """Return the image's name relative to the archive's root.

    Args:
        image: what it is.
        is_inspected: whether a model has judged it; one that was not judged lies in `UNINSPECTED_DIR` instead of ok or nok.
    """
    file = f"{image.captured_at}_{image.seq}_{image.part_id}.{image.suffix}"
    folder = image.label if is_inspected else UNINSPECTED_DIR
    return day_folder(image.line_id, image.camera_id, day_of(image.captured_at)) / folder / file


def mask_name(name: PurePosixPath) -> PurePosixPath:
    """Return the name of the mask beside an image, relative to the archive's root as the image's."""
    return name.with_suffix(MASK_SUFFIX)


def relabelled_name(name: PurePosixPath) -> PurePosixPath | None:
    """Return the name under which an image lies once its label was corrected; None for one that has no label."""
    other = {"ok": "nok", "nok": "ok"}.get(name.parent.name)
    return None if other is None else name.parent.parent / other / name.name


def parse_archive_name(name: PurePosixPath) -> ArchivedImage | None:
    """Return what a name relative to the archive's root says; None where it is not one that `archive_name` gives to a judged image."""
    match = _NAME.fullmatch(str(name))
    if match is None:
        return None
    parts = match.groupdict()
    try:
        image = ArchivedImage(
            line_id=parts["line_id"],
            camera_id=parts["camera_id"],
            part_id=parts["part_id"],
            seq=int(parts["seq"]),
            captured_at=int(parts["captured_at"]),
            label=cast("AnomalyClass", parts["label"]),
            suffix=parts["suffix"],
        )
    except ValueError:
        return None
    return image if archive_name(image) == name else None  # the day belongs to the time
