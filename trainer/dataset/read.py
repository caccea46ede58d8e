"""Reads images into a `DLDataset`: labels, masks and digests, with every refusal before time is spent on a fit.

Every image is decoded once here. A picture that cannot be read, or that another camera took, is named at once, and
the digest of the pixels finds copies with another name or other metadata.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from inspector.anomaly.choices import GeometryRule
from trainer.dataset.camera import check_geometries, check_rule, geometry_note
from trainer.dataset.dataset import DLDataset, DLDatasetSample, trained_geometry
from trainer.errors import DatasetError, UnreadableImageError
from trainer.listing.folders import DatasetParam, list_folders
from trainer.listing.listing import ListedImage, Listing
from trainer.listing.tally import LeftOut, Tally
from trainer.pictures.marks import inversion_note, read_marks
from trainer.pictures.probe import Probe, dark_note, probe_images
from trainer.pictures.remarks import lying_mend, notes_of_files, unreadable_error, unreadable_note
from trainer.progress import StageProgress
from trainer.wording import agreed, counted, is_printable, some

Refuse = Callable[[DatasetError], None]
"""Called with each reason why images cannot be used for training."""


def refuse_at_once(error: DatasetError) -> None:
    """Stop at the first reason.

    Raises:
        DatasetError: It.
    """
    raise error


@dataclass(frozen=True, slots=True)
class OpenedListing:
    """A listing of which each image was decoded once.

    Attributes:
        listing: What its source says.
        images: Those that can be read, with what each holds.
        failures: The others, with the reason.
        apply_exif: Whether they were turned upright as their EXIF flag says.
    """

    listing: Listing
    images: tuple[tuple[ListedImage, Probe], ...]
    failures: tuple[tuple[ListedImage, UnreadableImageError], ...]
    apply_exif: bool

    @property
    def tally(self) -> Tally:
        """Of all files: those that can be read are taken."""
        listed = self.listing.tally or Tally(len(self.listing.images))
        return listed.without([LeftOut(image.name, "unreadable", error.why) for image, error in self.failures])


def read_dl_dataset_anomaly(  # noqa: PLR0913 - all but the first two named
    image_dir: Path | str | Sequence[Path | str],
    anomaly_dir: Path | str | None = None,
    *,
    all_ok: bool = False,
    param: DatasetParam | None = None,
    geometry_rule: GeometryRule = "one-camera",
    apply_exif: bool = False,
    skip_unreadable: bool = False,
    progress: StageProgress | None = None,
) -> DLDataset:
    """Read the images below one or several folders with their labels and masks.

    A folder with `train/` or `test/` is read as MVTec AD layout. Otherwise the name of the folder around an image
    decides: `ok`, `good` or another word for it (`trainer.labels.words`) is ok, all else nok, and a name that leaves it in doubt
    (`good/monday`) is refused (`trainer.labels.nearest`); images that lie directly in a lone `image_dir` are all ok, unless its name or
    theirs speak of nok, in one of several they are labelled by its name. `trainer.listing.masks` says which mask belongs to which image;
    values above 0 are anomalous.

    `trainer.dataset.manifest` and `trainer.dataset.archive` read the same from a table and from the inspector's archive.

    Args:
        image_dir: Folder of the images, in the formats of `trainer.formats.known`, or several; names then count from the folder around them all.
        anomaly_dir: Folder of the masks; `<image_dir>/ground_truth` where it exists, by default.
        all_ok: Label every image ok, whatever its folder is called.
        param: Lists, sub-folders, name rules and groups; see `DatasetParam`.
        geometry_rule: `one-camera` refuses images whose aspect differs from that of the typical one; `any` takes images of
            any size and aspect, as parts are that were cropped to their own size, and a model that is trained on them does.
        apply_exif: Turn images upright as their EXIF flag says; masks are drawn on the upright picture then. Flags are ignored by
            default.
        skip_unreadable: Leave out images that cannot be read; they are named in `notes`, with all reasons in `unreadable`.
        progress: Told of each image, as stage "read images".

    Raises:
        DatasetError: A folder or a listed file missing; no image, no ok image; labels not determinable; masks asked for
            but none fits, several masks for an image, one for several images; unreadable image or mask, mask of
            another size, or marks on an ok image; images of different channels or aspect; one picture labelled both
            ok and nok; names that are not UTF-8 or hold control characters; an unknown parameter (from `DatasetParam`)
            or geometry rule. Names the files and says what to do.
    """
    image_dirs = [Path(folder) for folder in ((image_dir,) if isinstance(image_dir, Path | str) else image_dir)]
    masks = None if anomaly_dir is None else Path(anomaly_dir)
    return load_listing(
        list_folders(image_dirs, masks, param or DatasetParam(), all_ok=all_ok),
        progress,
        geometry_rule,
        apply_exif=apply_exif,
        skip_unreadable=skip_unreadable,
    )


def load_listing(
    listing: Listing,
    progress: StageProgress | None = None,
    geometry_rule: GeometryRule = "one-camera",
    *,
    apply_exif: bool = False,
    skip_unreadable: bool = False,
) -> DLDataset:
    """Open every image and mask of a listing, and refuse what cannot be one data set.

    Raises:
        DatasetError: As `read_dl_dataset_anomaly`.
    """
    check_rule(geometry_rule)
    check_names(listing)
    check_learnable(listing.images, listing)
    return assemble(
        open_listing(listing, progress, apply_exif=apply_exif), geometry_rule, skip_unreadable=skip_unreadable
    )


def open_listing(listing: Listing, progress: StageProgress | None = None, *, apply_exif: bool = False) -> OpenedListing:
    """Open every image of a listing; what cannot be read is kept apart."""
    paths = [listing.image_dir / image.name for image in listing.images]
    outcomes = list(zip(listing.images, probe_images(paths, progress, apply_exif=apply_exif), strict=True))
    return OpenedListing(
        listing,
        tuple((image, found) for image, found in outcomes if isinstance(found, Probe)),
        tuple((image, found) for image, found in outcomes if isinstance(found, UnreadableImageError)),
        apply_exif=apply_exif,
    )


def assemble(
    opened: OpenedListing,
    geometry_rule: GeometryRule = "one-camera",
    *,
    skip_unreadable: bool = False,
    refuse: Refuse = refuse_at_once,
) -> DLDataset:
    """Make a data set of what was opened.

    Args:
        opened: The images.
        geometry_rule: See `read_dl_dataset_anomaly`.
        skip_unreadable: See `read_dl_dataset_anomaly`.
        refuse: Called with each reason why this cannot be used for training; raises the first by default. Where it
            returns, the rest is looked at as well.

    Raises:
        DatasetError: Whatever `refuse` raises; or no ok image that can be read, without which nothing can be said of the rest.
    """
    listing, apply_exif = opened.listing, opened.apply_exif
    if opened.failures and not skip_unreadable:
        refuse(unreadable_error([error for _, error in opened.failures], len(listing.images)))
    check_learnable([image for image, _ in opened.images], listing)
    unreadable = tuple(f"{image.name} {error.why}" for image, error in opened.failures)
    samples = tuple(_sample(i, *pair) for i, pair in enumerate(opened.images))
    named = [(image.name, probe) for image, probe in opened.images]
    blank_notes = _check_blank(opened.images, refuse)
    typical = trained_geometry(samples, geometry_rule)
    try:
        check_geometries([(s.image_file_name, s.geometry) for s in samples], typical)
    except DatasetError as error:
        refuse(DatasetError(f"{error}{'' if apply_exif else lying_mend(named)}"))
    for conflict in _label_conflicts(samples):
        refuse(conflict)
    has_masks = any(image.mask for image, _ in opened.images)
    dataset = DLDataset(
        listing.image_dir,
        listing.anomaly_dir if has_masks else None,
        listing.kind,
        samples,
        listing.notes,
        geometry_rule=geometry_rule,
        apply_exif=apply_exif,
        unreadable=unreadable,
        tally=opened.tally,
    )
    remarks = (
        *blank_notes,
        unreadable_note(unreadable, len(listing.images)) if unreadable and skip_unreadable else None,
        geometry_note([s.geometry for s in samples], typical),
        dark_note(dataset.image_path(samples[0])),
        *notes_of_files(named, apply_exif=apply_exif),
    )
    return replace(dataset, notes=(*listing.notes, *filter(None, remarks), *_check_masks(dataset, refuse)))


def check_learnable(images: Iterable[ListedImage], listing: Listing) -> None:
    """Refuse images if none of them can be used for training.

    Raises:
        DatasetError: The message says what to do.
    """
    if not any(image.label == "ok" and image.split != "test" for image in images):
        raise DatasetError(f"there is no ok image to train on in {listing.image_dir}; {listing.ok_mend}")


def check_names(listing: Listing) -> None:
    """Refuse names that report, JSON, CSV and terminal cannot all show: an hour of training would end in their error.

    Raises:
        DatasetError: Names them and says what to do.
    """
    files = [name for image in listing.images for name in (image.name, image.mask) if name is not None]
    if odd := [name for name in dict.fromkeys([str(listing.image_dir), *files]) if not is_printable(name)]:
        are = agreed(len(odd), "is not UTF-8 or holds control characters", "are not UTF-8 or hold control characters")
        raise DatasetError(
            f"{counted(len(odd), 'name')} {are}, so no report can show them: {some(odd)}; rename these files or "
            "folders (convmv -r -f latin1 -t utf8 --notest FOLDER repairs the names from old Windows disks)"
        )


def _check_blank(images: Sequence[tuple[ListedImage, Probe]], refuse: Refuse) -> list[str]:
    """Refuse a set of only blank pictures; returns a remark if a few are blank."""
    learnable = [probe for image, probe in images if image.label == "ok" and image.split != "test"]
    blank = [image.name for image, probe in images if probe.is_blank]
    if blank and all(probe.is_blank for probe in learnable):
        refuse(
            DatasetError(
                f"each of the {len(learnable)} ok training images has a single colour ({some(blank)}), so nothing can "
                "be learned from them; check the camera, the light and the export (of 16 bits only the upper 8 are "
                "read), and give images that show the part"
            )
        )
        return []
    if not blank:
        return []
    return [
        (
            f"{counted(len(blank))} {agreed(len(blank), 'is', 'are')} of a single colour, as from a covered or failed "
            f"camera: {some(blank)}; remove them"
        )
    ]


def _sample(index: int, image: ListedImage, probe: Probe) -> DLDatasetSample:
    return DLDatasetSample(
        image_id=index,
        image_file_name=image.name,
        image_label=image.label,
        width=probe.width,
        height=probe.height,
        channels=probe.channels,
        digest=probe.digest,
        pixel_digest=probe.pixel_digest,
        defect=image.defect,
        anomaly_file_name=image.mask,
        split=image.split,
        group=image.group,
        captured_at=image.captured_at,
    )


def _check_masks(dataset: DLDataset, refuse: Refuse) -> list[str]:
    """Read every mask; returns remarks."""
    notes = []
    shares: list[tuple[str, float]] = []
    for sample in dataset.samples:
        path = dataset.mask_path(sample)
        if path is None:
            continue
        try:
            share = float(read_marks(path, (sample.height, sample.width)).mean())
        except DatasetError as error:
            refuse(error)
            continue
        is_marked = share > 0
        if sample.image_label == "ok" and is_marked:
            refuse(
                DatasetError(
                    f"mask {path} marks pixels of {sample.image_file_name}, which is labelled ok; correct the label "
                    "or remove the mask"
                )
            )
        if sample.image_label == "nok" and not is_marked:
            notes.append(f"mask {sample.anomaly_file_name} marks no pixel, although its image is nok")
        if sample.image_label == "nok":
            shares.append((sample.anomaly_file_name or "", share))
    return [*notes, *filter(None, [inversion_note(shares)])]


def _label_conflicts(samples: Iterable[DLDatasetSample]) -> Iterator[DatasetError]:
    copies: defaultdict[str, list[DLDatasetSample]] = defaultdict(list)
    for sample in samples:
        copies[sample.pixel_digest].append(sample)
    for group in copies.values():
        if len({sample.image_label for sample in group}) > 1:
            one_of_each = sorted({s.image_label: s for s in reversed(group)}.values(), key=lambda s: s.image_id)
            names = " and ".join(f"{s.image_file_name} ({s.image_label})" for s in one_of_each)
            yield DatasetError(f"{names} are the same picture; remove the one with the wrong label")
