"""Remarks about the files that were opened: unreadable ones, orientation flags, and what the service would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from inspector.anomaly.preprocess.image_header import DEFAULT_LIMITS
from inspector.anomaly.preprocess.orientation import LYING, UPRIGHT
from trainer.errors import UnreadableImageError, UnreadableImagesError
from trainer.formats.known import FORMAT_NAMES
from trainer.pictures.probe import Probe
from trainer.wording import agreed, counted, some

NAMES_SHOWN: Final = 20
"""Of unreadable files: enough to repair most folders in one go."""

LARGEST_DECODING_BYTES: Final = 256 * 1024 * 1024
"""Half of the service's usual `limits.max_bytes_in_flight`, which is what decoding one picture may take."""

_DECODER_COPIES: Final = 2
_MIB: Final = 1024 * 1024
_SERVED: Final = frozenset({"jpeg", "png"})

Named = Sequence[tuple[str, Probe]]
"""Images by name."""


def unreadable_error(failures: Sequence[UnreadableImageError], total: int) -> UnreadableImagesError:
    """The refusal that names all unreadable files, so that they can be repaired in one go."""
    listed = some((f"{failure.path} {failure.why}" for failure in failures), NAMES_SHOWN)
    count = f"{len(failures)} of {counted(total)} cannot be read"
    if len(failures) == 1:
        mend = "replace or remove it, or leave it out with --skip-unreadable (skip_unreadable=True)"
        return UnreadableImagesError(f"{listed}; {mend}", f"{count}; {mend}")
    mend = "replace or remove them, or leave them out with --skip-unreadable (skip_unreadable=True)"
    return UnreadableImagesError(f"{count}: {listed}; {mend}", f"{count}; {mend}")


def unreadable_note(left_out: Sequence[str], total: int) -> str:
    """What was left out, as was asked for; each with its reason."""
    are = agreed(len(left_out), "is", "are")
    images = counted(total)
    return f"{len(left_out)} of {images} cannot be read and {are} left out, as requested: {some(left_out, NAMES_SHOWN)}"


def notes_of_files(images: Named, *, apply_exif: bool) -> list[str]:
    """Remarks about what the files turned out to be."""
    notes = [orientation_note(images, apply_exif=apply_exif), _format_note(images), *_limit_notes(images)]
    return [note for note in notes if note is not None]


def orientation_note(images: Named, *, apply_exif: bool) -> str | None:
    """What becomes of images that their EXIF flag says to turn; None where there is none."""
    flagged = [name for name, probe in images if probe.orientation != UPRIGHT]
    if not flagged:
        return None
    have, they_are = agreed(len(flagged), "has", "have"), agreed(len(flagged), "it is", "they are")
    read = agreed(len(flagged), "the sensor read it", "the sensor read them")
    count = f"{len(flagged)} of {counted(len(images))} {have} an EXIF orientation other than upright ({some(flagged)})"
    if apply_exif:
        return (
            f"{count}: {they_are} rotated upright, as requested. The service does the same with JPEG and PNG frames "
            "for this model; raw frames have no orientation and must be sent upright"
        )
    return (
        f"{count}, which is ignored: {they_are} used as {read}, for training, testing and in the service; to have "
        "images rotated upright, fit with --apply-exif (apply_exif=True)"
    )


def lying_mend(images: Named) -> str:
    """What to add where the aspects of images differ: their flags may be the reason; empty without such."""
    lying = [name for name, probe in images if probe.orientation in LYING]
    if not lying:
        return ""
    lie = agreed(len(lying), "lies on a side by its", "lie on a side by their")
    them = agreed(len(lying), "it", "them")
    return (
        f"; {counted(len(lying))} {lie} EXIF orientation ({some(lying)}): --apply-exif (apply_exif=True) turns {them}"
    )


def ignored_orientation_note(names: Sequence[object]) -> str | None:
    """What `apply` says of images whose flag the model's preprocessing ignores; None where there is none."""
    if not names:
        return None
    return (
        f"{counted(len(names))} {agreed(len(names), 'has', 'have')} an EXIF orientation other than upright, which "
        f"this model ignores: {some(names)}; if they should be rotated upright, fit with --apply-exif"
    )


def _format_note(images: Named) -> str | None:
    others = Counter(FORMAT_NAMES[probe.format] for _, probe in images if probe.format not in _SERVED)
    if not others:
        return None
    kinds = " and ".join(f"{count} {kind}" for kind, count in sorted(others.items()))
    return (
        f"{kinds} of {counted(len(images))}: the service accepts frames as JPEG, PNG or raw pixels; the same pixels "
        "get the same score in each format, so send these as PNG or raw"
    )


def _limit_notes(images: Named) -> Iterable[str]:
    """Which settings of the service these pictures need as frames."""
    large = [(name, probe.num_bytes) for name, probe in images if probe.num_bytes > DEFAULT_LIMITS.max_bytes]
    if large:
        name, most = max(large, key=lambda image: image[1])
        yield (
            f"{len(large)} of {counted(len(images))} {agreed(len(large), 'has', 'have')} more than "
            f"{DEFAULT_LIMITS.max_bytes // _MIB} MiB, up to {_mib(most)} ({name}): with default settings the service "
            f"refuses frames of this size; raise its limits.max_frame_bytes to {most} or more"
        )
    vast = [(name, _decoding_bytes(probe)) for name, probe in images if _decoding_bytes(probe) > LARGEST_DECODING_BYTES]
    if vast:
        name, most = max(vast, key=lambda image: image[1])
        yield (
            f"decoding {name} takes {_mib(most)}: with default settings the service refuses frames that take more "
            f"than {LARGEST_DECODING_BYTES // _MIB} MiB, {len(vast)} of {counted(len(images))} here; raise its "
            f"limits.max_bytes_in_flight to {2 * most} or more"
        )


def _decoding_bytes(probe: Probe) -> int:
    return _DECODER_COPIES * probe.width * probe.height * probe.channels


def _mib(num_bytes: int) -> str:
    return f"{num_bytes / _MIB:.1f} MiB"
