"""Pictures of the frames that differ: from the archive by their names, or decoded from what the frames topic still has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ImageError
from inspector.anomaly.preprocess.image import RawLayout, decode_image
from inspector.anomaly.types import AnomalyRegion, RegionComponent
from inspector.anomaly.verdict.draw import REGION_COLOUR, Colour, draw_region_outlines
from schemas import CameraFrame, RegionMessage
from schemas.archive.layout import MASK_SUFFIX, day_folder, day_of, parse_archive_name
from trainer.archives.place import ArchivePlace
from trainer.compare.result import Pair
from trainer.display.picture import shrink
from trainer.errors import UnreadableImageError
from trainer.pictures.files import READ_LIMITS, read_picture

SHADOW_COLOUR: Final[Colour] = (64, 140, 255)


@dataclass(frozen=True, slots=True)
class ShownPair:
    """A frame that differs, (H, W, 3) RGB uint8 with both models' regions outlined; None: its picture is not there any more."""

    pair: Pair
    picture: NDArray[np.uint8] | None


def bring_archived(archive: ArchivePlace, camera: str, pairs: Sequence[Pair]) -> None:
    """See to it that the files of these frames lie below the archive's folder, as far as it has kept them.

    Raises:
        DatasetError: A file cannot be brought.
        OutputError: A copy cannot be written.
    """
    folder = PurePosixPath(camera)
    if not pairs or not archive.has(folder):
        return
    wanted = {(pair.captured_at, pair.seq, pair.part_id) for pair in pairs}
    named = [(name, parse_archive_name(name)) for name in (folder / below for below in archive.search(folder).taken)]
    archive.bring(name for name, image in named if image and (image.captured_at, image.seq, image.part_id) in wanted)


def archived_file(root: Path, camera: str, pair: Pair) -> Path | None:
    """Return the file of a frame in an archive, whatever its label is by now; None: the archive has not kept it."""
    line_id, _, camera_id = camera.partition("/")
    day = root / day_folder(line_id, camera_id, day_of(pair.captured_at))
    for label in ("ok", "nok"):
        for path in sorted((day / label).glob(f"{pair.captured_at}_{pair.seq}_{pair.part_id}.*")):
            if not path.name.endswith(MASK_SUFFIX):
                return path
    return None


def draw_archived(root: Path, camera: str, pair: Pair) -> ShownPair:
    """Draw a frame from the archive, if it is there and can be read."""
    path = archived_file(root, camera, pair)
    try:
        return ShownPair(pair, None if path is None else _outlined(read_picture(path).image, pair))
    except UnreadableImageError:
        return ShownPair(pair, None)


def draw_frame(frame: CameraFrame | None, pair: Pair) -> ShownPair:
    """Draw a frame from its message, if that is there, is the one that is meant, and carries its picture."""
    if frame is None or frame.identity != (*frame.identity[:2], pair.part_id, pair.seq, pair.captured_at):
        return ShownPair(pair, None)
    try:
        raw = None if frame.raw is None else RawLayout(**frame.raw.model_dump())
        sample = decode_image(frame.image, encoding=frame.encoding, raw=raw, limits=READ_LIMITS)
    except ImageError:
        return ShownPair(pair, None)
    return ShownPair(pair, _outlined(sample.image, pair))


def _outlined(image: NDArray[np.uint8], pair: Pair) -> NDArray[np.uint8]:
    picture = shrink(image)
    if picture.ndim == 2:  # noqa: PLR2004 (H, W)
        picture = np.repeat(picture[..., None], 3, axis=2)
    for opinion, colour in ((pair.counted, REGION_COLOUR), (pair.shadow, SHADOW_COLOUR)):
        region = _region(opinion.region)
        if region is not None:
            picture = draw_region_outlines(picture, region, colour)
    return picture


def _region(message: RegionMessage | None) -> AnomalyRegion | None:
    """The region of a message; None where it has none, or its code was too long for the wire."""
    if message is None or message.counts is None:
        return None
    components = tuple(RegionComponent(**one.model_dump()) for one in message.components)
    return AnomalyRegion(
        message.width, message.height, message.area, message.counts, components, message.num_components
    )
