"""Facts about the images of a source: counts by label, size, format, light and orientation, from what was found while reading them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from inspector.anomaly.choices import AnomalyClass
from inspector.anomaly.preprocess.orientation import UPRIGHT
from trainer.dataset.read import OpenedListing
from trainer.formats.known import FORMAT_NAMES
from trainer.listing.listing import SplitName
from trainer.pictures.probe import Probe
from trainer.wording import printable


@dataclass(frozen=True, slots=True)
class SeenImage:
    """One image that could be read.

    Attributes:
        name: As its source names it.
        probe: What its file holds.
        label: None where the labels could not be determined.
        defect: Name of the defect, where its place says one.
        split: Side that its source puts it on; None where it says none.
        mask: Name of its mask; None without.
    """

    name: str
    probe: Probe
    label: AnomalyClass | None
    defect: str | None = None
    split: SplitName | None = None
    mask: str | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return self.probe.width, self.probe.height


@dataclass(frozen=True, slots=True)
class Copies:
    """Files that show one and the same picture.

    Attributes:
        images: Two or more.
        is_same_file: Whether they are the same byte by byte; else pixels alone are the same.
    """

    images: tuple[SeenImage, ...]
    is_same_file: bool

    @property
    def is_on_two_sides(self) -> bool:
        """Whether the source puts one copy into training and another into test."""
        return len({image.split == "test" for image in self.images}) > 1

    @property
    def has_two_labels(self) -> bool:
        """Whether one copy is ok and another nok."""
        return len({image.label for image in self.images}) > 1


@dataclass(frozen=True, slots=True)
class Facts:
    """What the images are."""

    images: tuple[SeenImage, ...]

    @property
    def labels(self) -> list[tuple[str, str, int]]:
        """Label, split of the source (empty where it says none) and number of images, ok first."""
        counted = Counter((image.label or "unknown", image.split or "") for image in self.images)
        order = ("ok", "nok", "unknown")
        return [(label, split, n) for (label, split), n in sorted(counted.items(), key=lambda i: order.index(i[0][0]))]

    @property
    def defects(self) -> list[tuple[str, int]]:
        """Name of each defect and number of its images, the most frequent first."""
        return Counter(image.defect for image in self.images if image.defect is not None).most_common()

    @property
    def sizes(self) -> list[tuple[tuple[int, int], int]]:
        """Width and height, and number of images, the most frequent first."""
        return Counter(image.size for image in self.images).most_common()

    @property
    def formats(self) -> list[tuple[str, int]]:
        """Format, bits and colour in words, and number of images, the most frequent first."""
        return Counter(_kind(image.probe) for image in self.images).most_common()

    @property
    def copies(self) -> list[Copies]:
        """Pictures that are there more than once."""
        found = _alike(self.images, lambda image: image.probe.pixel_digest)
        return [Copies(tuple(alike), len({image.probe.digest for image in alike}) == 1) for alike in found]

    @property
    def turned(self) -> list[SeenImage]:
        """Images with an EXIF orientation other than upright."""
        return [image for image in self.images if image.probe.orientation != UPRIGHT]

    @property
    def blank(self) -> list[SeenImage]:
        """Images of a single colour."""
        return [image for image in self.images if image.probe.is_blank]

    @property
    def by_light(self) -> list[SeenImage]:
        """All, the darkest first."""
        return sorted(self.images, key=lambda image: (image.probe.brightness, image.name))

    @property
    def nok_without_mask(self) -> list[SeenImage]:
        """Nok images that have none."""
        return [image for image in self.images if image.label == "nok" and image.mask is None]

    @property
    def masked(self) -> list[SeenImage]:
        """Images that have a mask."""
        return [image for image in self.images if image.mask is not None]

    def as_json(self) -> dict[str, Any]:
        """The object that `trainer check --json` prints of the images."""
        darkest = self.by_light
        return {
            "labels": [{"label": label, "split": split or None, "count": n} for label, split, n in self.labels],
            "defects": [{"defect": printable(name), "count": n} for name, n in self.defects],
            "sizes": [{"width": w, "height": h, "count": n} for (w, h), n in self.sizes],
            "formats": [{"format": kind, "count": n} for kind, n in self.formats],
            "masks": {"found": len(self.masked), "nok_without_mask": _names(self.nok_without_mask)},
            "copies": [
                {"files": _names(one.images), "same_bytes": one.is_same_file, "labels": [i.label for i in one.images]}
                for one in self.copies
            ],
            "exif_orientation": [
                {"file": printable(image.name), "orientation": int(image.probe.orientation)} for image in self.turned
            ],
            "blank": _names(self.blank),
            "darkest": _light(darkest[:_EXTREMES]),
            "brightest": _light(darkest[::-1][:_EXTREMES]),
        }


_EXTREMES = 3


def facts_of(opened: OpenedListing, *, is_labelled: bool) -> Facts:
    """What was opened, in facts.

    Args:
        opened: The images.
        is_labelled: Whether their labels are known.
    """
    return Facts(
        tuple(
            SeenImage(
                image.name,
                probe,
                image.label if is_labelled else None,
                image.defect if is_labelled else None,
                image.split,
                image.mask if is_labelled else None,
            )
            for image, probe in opened.images
        )
    )


def _alike(images: Iterable[SeenImage], key: Callable[[SeenImage], Hashable]) -> list[list[SeenImage]]:
    groups: defaultdict[Hashable, list[SeenImage]] = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return [group for group in groups.values() if len(group) > 1]


def _kind(probe: Probe) -> str:
    colour = "gray" if probe.channels == 1 else "colour"
    return f"{FORMAT_NAMES[probe.format]} ({probe.bit_depth} bit {colour})"


def _names(images: Sequence[SeenImage]) -> list[str]:
    return [printable(image.name) for image in images]


def _light(images: Sequence[SeenImage]) -> list[dict[str, Any]]:
    return [{"file": printable(image.name), "mean": round(image.probe.brightness, 1)} for image in images]
