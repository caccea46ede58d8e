"""One row of the archive's index: an image, its file, and the first result about it."""

from __future__ import annotations

from typing import NamedTuple


class ArchiveRow(NamedTuple):
    """What the index holds of one image; the fields are the columns of the Parquet files, in this order.

    Times are µs since 1970-01-01 UTC, digests SHA-256 in hexadecimal.
    """

    result_id: str
    line_id: str
    camera_id: str
    part_id: str
    seq: int
    captured_at: int
    file: str
    """Relative to the archive's root; who corrected the label moved it to the other folder."""
    file_digest: str
    file_bytes: int
    image_digest: str
    """Of the bytes that the camera sent; that of the file too, unless `encoding` is raw."""
    encoding: str
    pixel_format: str | None
    """Of raw images; their file is a PNM of the same pixels."""
    is_sample: bool
    """Whether it belongs to the uniform sample of its camera and day: of all ok images, or of all that were not inspected."""
    is_near: bool
    """Whether it is ok with a score near the threshold, and was kept for that."""
    status: str
    reason: str
    anomaly_class: str
    anomaly_score: float | None
    classification_threshold: float | None
    segmentation_threshold: float | None
    model_name: str | None
    model_version: str | None
    model_digest: str | None
    deadline_at: int | None
    produced_at: int
    deployment: str | None
    is_simulated: bool
    source_topic: str
    source_partition: int
    source_offset: int
