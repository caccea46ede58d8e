"""What `trainer apply` says about one image, as an object for programs and as a row of a table."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inspector.anomaly.files import write_file
from inspector.anomaly.types import RegionComponent
from trainer.errors import OutputError
from trainer.listing.tally import LeftOut, Reason

CSV_COLUMNS: Final = (
    "image",
    "anomaly_score",
    "classification_threshold",
    "anomaly_class",
    "num_regions",
    "region_x",
    "region_y",
    "region_width",
    "region_height",
    "picture",
    "reason",
    "error",
)
"""Of the file that `--csv` writes; the region is the largest one, in pixels of the image."""

_FORMULA_STARTS: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What spreadsheets take for the beginning of a formula."""


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What the model says of one file, or why it says nothing."""

    path: Path
    anomaly_score: float = math.nan
    threshold: float = math.nan
    anomaly_class: str | None = None
    boxes: tuple[RegionComponent, ...] = ()
    """The largest regions, in pixels of the image."""
    num_regions: int = 0
    picture: Path | None = None
    is_orientation_ignored: bool = False
    """Whether an EXIF flag asks for the picture to be turned, which the model does not."""
    error: str | None = None
    reason: Reason | None = None
    """Why it was left out, where it was."""

    def as_json(self) -> dict[str, Any]:
        """An object; a value that is not finite becomes null."""
        return {
            "event": "image",
            "image": str(self.path),
            "anomaly_score": self.anomaly_score if math.isfinite(self.anomaly_score) else None,
            "classification_threshold": self.threshold if math.isfinite(self.threshold) else None,
            "anomaly_class": self.anomaly_class,
            "regions": [
                {"x": b.x, "y": b.y, "width": b.width, "height": b.height, "area": b.area, "max_score": b.max_score}
                for b in self.boxes
            ],
            "num_regions": self.num_regions,
            "picture": None if self.picture is None else str(self.picture),
            "reason": self.reason,
            "error": self.error,
        }


def check_csv(target: Path, images: Iterable[Path]) -> None:
    """Refuse, before anything is scored, a place where no table can be written.

    Raises:
        OutputError: It is an image, a folder or a device, or its folder is not there.
    """
    try:
        is_taken = target.exists() and not target.is_file()
        is_homeless = not target.parent.is_dir()
        resolved = target.resolve()
        is_image = target.exists() and any(image.resolve() == resolved for image in images)
    except OSError as error:
        raise OutputError.unwritable(f"the table {target}", error, mend="give another file to --csv") from error
    if is_taken:
        raise OutputError(f"{target} is not a regular file; give a file to --csv")
    if is_homeless:
        raise OutputError(f"the folder of {target} does not exist; create it, or give another file to --csv")
    if is_image:
        raise OutputError(f"the table {target} would overwrite an image; give another file to --csv")


def write_csv(target: Path, verdicts: Sequence[ImageVerdict], left_out: Sequence[LeftOut]) -> None:
    """Write a row for each image and each file that was left out, as a whole or not at all.

    UTF-8 with a byte order mark, as spreadsheets want it; a text that begins like a formula has an apostrophe before it.

    Raises:
        OutputError: The file cannot be written; what was there is there still.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text)
    table.writerow(CSV_COLUMNS)
    table.writerows(_row(verdict) for verdict in verdicts)
    blanks = [""] * (len(CSV_COLUMNS) - 3)
    table.writerows([_safe(one.name), *blanks, one.reason, _safe(one.detail or "")] for one in left_out)
    try:
        # Bytes of a name that are no UTF-8 are written as escapes.
        write_file(target, text.getvalue().encode("utf-8-sig", errors="backslashreplace"))
    except OSError as error:
        raise OutputError.unwritable(f"the table {target}", error, mend="give another file to --csv") from error


def _row(verdict: ImageVerdict) -> list[object]:
    box = verdict.boxes[0] if verdict.boxes else None
    is_scored = verdict.anomaly_class is not None
    return [
        _safe(str(verdict.path)),
        verdict.anomaly_score if math.isfinite(verdict.anomaly_score) else "",
        verdict.threshold if math.isfinite(verdict.threshold) else "",
        verdict.anomaly_class or "",
        verdict.num_regions if is_scored else "",
        *(("", "", "", "") if box is None else (box.x, box.y, box.width, box.height)),
        "" if verdict.picture is None else _safe(str(verdict.picture)),
        verdict.reason or "",
        _safe(verdict.error or ""),
    ]


def _safe(text: str) -> str:
    """The text, such that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(_FORMULA_STARTS) else text
