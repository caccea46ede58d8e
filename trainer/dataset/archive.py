"""Reading one camera's images from the inspector's archive as a data set; `schemas.archive.layout` says how files are named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath

from inspector.anomaly.choices import GeometryRule
from schemas.archive.layout import (
    MASK_SUFFIX,
    ArchivedImage,
    day_of,
    mask_name,
    parse_archive_name,
)
from schemas.archive.place import archive_place
from schemas.base import ID_PATTERN
from trainer.archives.opened import open_archive
from trainer.archives.place import ArchivePlace, FolderArchive
from trainer.dataset.dataset import DLDataset
from trainer.dataset.index import read_index
from trainer.dataset.read import load_listing
from trainer.errors import DatasetError
from trainer.listing.listing import ListedImage, Listing
from trainer.listing.tally import LeftOut, Reason, Tally
from trainer.progress import StageProgress
from trainer.wording import some

_ID = ID_PATTERN.removeprefix("^").removesuffix("$")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def read_dl_dataset_archive(  # noqa: PLR0913 - all but the first three named
    root: Path | str,
    line_id: str,
    camera_id: str,
    *,
    captured_from: datetime | None = None,
    captured_to: datetime | None = None,
    geometry_rule: GeometryRule = "one-camera",
    apply_exif: bool = False,
    skip_unreadable: bool = False,
    include_near: bool = False,
    cache: Path | str | None = None,
    config: Path | str | None = None,
    progress: StageProgress | None = None,
) -> DLDataset:
    """Read one camera's images from the inspector's archive; the layout is in `schemas.archive.layout`.

    A sample's `group` is its part. `split_dl_dataset` keeps parts together, or time windows where it is told so.

    Args:
        root: Folder of the archive, or `s3://bucket/prefix`.
        line_id: The camera's line.
        camera_id: The camera.
        captured_from: Earliest capture time, with its time zone; included.
        captured_to: Latest capture time, with its time zone; not included.
        geometry_rule: See `read_dl_dataset_anomaly`.
        apply_exif: See `read_dl_dataset_anomaly`.
        skip_unreadable: See `read_dl_dataset_anomaly`.
        include_near: See `list_archive`.
        cache: Folder to which pictures of an archive in a store are copied; the data set reads them there.
        config: The inspector's settings file, whose `[archive]` has address and keys of the store. None: the environment
            (`INSPECTOR_ARCHIVE__ENDPOINT`), and the machine's own credentials.
        progress: Told of each image, as stage "read images", and as "fetch pictures" where they are fetched.

    Raises:
        OutputError: A copy cannot be written.
        DatasetError: The store cannot be read. No such camera, a time without its zone, an empty time window, no file with a name that fits, or
            an image is refused as by `read_dl_dataset_anomaly`.
    """
    try:
        told = archive_place(root)
    except ValueError as error:
        raise DatasetError(str(error)) from error
    place = open_archive(told, None if cache is None else Path(cache), None if config is None else Path(config))
    window = captured_from, captured_to
    listing = list_archive(place, line_id, camera_id, *window, include_near=include_near, progress=progress)
    return load_listing(listing, progress, geometry_rule, apply_exif=apply_exif, skip_unreadable=skip_unreadable)


def list_archive(
    archive: ArchivePlace | Path,
    line_id: str,
    camera_id: str,
    captured_from: datetime | None = None,
    captured_to: datetime | None = None,
    *,
    include_near: bool = False,
    progress: StageProgress | None = None,
) -> Listing:
    """List one camera's images in the order of their capture; none is opened. Of an archive in a store they are fetched.

    Where the archive has an index, an image whose bytes came before is left out, and so are ok images that were kept for their
    score near the threshold alone: beside the uniform sample there are too many of them to say what is usual. One whose label
    somebody has corrected stays.

    Args:
        archive: The archive, or its folder.
        line_id: The camera's line.
        camera_id: The camera.
        captured_from: See `read_dl_dataset_archive`.
        captured_to: See `read_dl_dataset_archive`.
        include_near: Take the ok images near the threshold, too.
        progress: Told of each file that is fetched.

    Raises:
        DatasetError: See `read_dl_dataset_archive`.
    """
    place = FolderArchive(archive) if isinstance(archive, Path) else archive
    camera = camera_of(place, line_id, camera_id)
    first, last = _microseconds(captured_from, "captured_from"), _microseconds(captured_to, "captured_to")
    if first is not None and last is not None and first >= last:
        raise DatasetError(f"captured_from {captured_from} is not before captured_to {captured_to}; swap them")
    found, masks, left_out, notes = _scan(place, camera)
    inside = {
        n: i for n, i in found.items() if (first or 0) <= i.captured_at and (last is None or i.captured_at < last)
    }
    if not inside:
        times = sorted(image.captured_at for image in found.values())
        raise DatasetError(
            f"none of the {len(found)} images below {place.where}/{camera} lies in the time window; they were captured from "
            f"{_time(times[0])} to {_time(times[-1])}; widen the window"
        )
    times = [image.captured_at for image in inside.values()]
    place.bring_index(camera, day_of(min(times)), day_of(max(times)))
    camera_dir = place.root / camera
    unwanted = _unwanted(camera_dir, inside, include_near=include_near)
    left_out += [LeftOut(_below(name), reason) for name, reason in unwanted.items()]
    inside = {name: image for name, image in inside.items() if name not in unwanted}
    images = tuple(
        ListedImage(
            name=_below(name),
            label=image.label,
            mask=_below(mask_name(name)) if mask_name(name) in masks else None,
            group=image.part_id,
            captured_at=image.captured_at,
        )
        for name, image in sorted(inside.items(), key=lambda item: (item[1].captured_at, item[0]))
    )
    place.bring([*inside, *(mask for name in inside if (mask := mask_name(name)) in masks)], progress)
    left_out += [
        LeftOut(_below(name), "outside the time window")
        for name in sorted(found.keys() - inside.keys() - unwanted.keys())
    ]
    mend, tally = "widen the time window, or label images ok", Tally(len(images), tuple(left_out))
    return Listing(camera_dir, camera_dir, "archive", images, tuple(notes), mend, tally)


def _unwanted(
    camera_dir: Path, images: Mapping[PurePosixPath, ArchivedImage], *, include_near: bool
) -> dict[PurePosixPath, Reason]:
    """What the index says that is better left out, and why."""
    index = read_index(camera_dir)
    unwanted: dict[PurePosixPath, Reason] = {}
    seen: set[str] = set()
    for name, image in sorted(images.items(), key=lambda item: (item[1].captured_at, item[0])) if len(index) else ():
        row = index.row(name)
        if row is None:
            continue
        is_relabelled = row.file != str(name)
        if row.image_digest in seen and not is_relabelled:
            unwanted[name] = "a copy of an earlier image"
        elif image.label == "ok" and not (row.is_sample or is_relabelled or include_near):
            unwanted[name] = "kept for its score near the threshold"
        else:
            seen.add(row.image_digest)
    return unwanted


def _scan(
    place: ArchivePlace, camera: PurePosixPath
) -> tuple[dict[PurePosixPath, ArchivedImage], set[PurePosixPath], list[LeftOut], list[str]]:
    """Images and masks by their names relative to the archive's root, all other files, and remarks about these."""
    found: dict[PurePosixPath, ArchivedImage] = {}
    masks: set[PurePosixPath] = set()
    strangers: list[PurePosixPath] = []
    files = place.search(camera)
    left_out = [LeftOut(str(name), reason) for name, reason in files.left_out.items()]
    for name in (camera / file for file in files.taken):
        if image := parse_archive_name(name):
            found[name] = image
        elif name.name.endswith(MASK_SUFFIX):
            masks.add(name)
        else:
            strangers.append(name)
    if not found:
        raise DatasetError(
            f"no file below {place.where}/{camera} has a name like those of the inspector's archive, "
            "<YYYY-MM-DD>/<ok|nok>/<captured_at>_<seq>_<part_id>.<jpg|png|...>"
            + (f", unlike {some(strangers)}" if strangers else "")
            + "; give the root folder of the archive, or read the folder with --images"
        )
    notes = []
    if strangers:
        notes.append(f"{len(strangers)} files are not named as in the archive and are ignored: {some(strangers)}")
        left_out += [LeftOut(_below(name), "not named as in the archive") for name in strangers]
    if unowned := sorted(masks - {mask_name(name) for name in found}):
        notes.append(f"{len(unowned)} masks have no image and are ignored: {some(unowned)}")
    left_out += [LeftOut(_below(name), "a mask") for name in sorted(masks)]
    return found, masks, left_out, notes


def camera_of(place: ArchivePlace, line_id: str, camera_id: str) -> PurePosixPath:
    """Return a camera's folder, relative to the archive's root.

    Raises:
        DatasetError: There is none; says which there are.
    """
    for name, value in (("line_id", line_id), ("camera_id", camera_id)):
        if not re.fullmatch(_ID, value):
            raise DatasetError(f"{name} is {value!r}; it must have 1 to 64 of the characters A-Z a-z 0-9 _ -")
    camera = PurePosixPath(line_id, camera_id)
    if not place.has(camera):
        known = place.cameras()
        there = f"; there are {some(known)}" if known else "; give the root of the archive"
        raise DatasetError(f"{place.where}/{camera} does not exist{there}")
    return camera


def _below(name: PurePosixPath) -> str:
    """The name relative to the camera's folder."""
    return str(PurePosixPath(*name.parts[2:]))


def _microseconds(moment: datetime | None, name: str) -> int | None:
    if moment is None:
        return None
    if moment.tzinfo is None:
        raise DatasetError(f"{name} {moment} has no time zone; add one, such as +00:00 for UTC")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def _time(captured_at: int) -> str:
    return (_EPOCH + timedelta(microseconds=captured_at)).isoformat()
