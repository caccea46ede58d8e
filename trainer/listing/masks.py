"""Which mask belongs to which nok image: by folder and name, as this project and HALCON match them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from trainer.errors import DatasetError
from trainer.formats.known import IMAGE_SUFFIXES
from trainer.listing.labelling import LabelledFile
from trainer.listing.layout import find_pictures, in_sub_dirs
from trainer.wording import agreed, counted, some

_MASK_SUFFIX = "_mask"


@dataclass(frozen=True, slots=True)
class MaskRules:
    """How names are compared.

    Attributes:
        image_only: Part of the image's stem that its mask lacks; removed from the end of the stem, else from its start.
        anomaly_only: Part of the mask's stem that its image lacks; removed alike.
        sub_dirs: Sub-folders of the masks' folder to look in; all where empty.
        must_match: The user named the folder: names are compared loosely too, and finding nothing is an error.
    """

    image_only: str = ""
    anomaly_only: str = ""
    sub_dirs: tuple[str, ...] = ()
    must_match: bool = False


class _Matching:
    """The pairs so far: an image has one mask, a mask one image."""

    def __init__(self, files: Sequence[LabelledFile], masks: Sequence[PurePosixPath], rules: MaskRules) -> None:
        self.files = files
        self.masks = masks
        self.rules = rules
        self.by_image: dict[Path, PurePosixPath] = {}
        self.owner: dict[PurePosixPath, LabelledFile] = {}
        # A mask in the folder of another defect is none of this one's, whatever it is called.
        self.defect_folders = {file.folders for file in files}

    def image_key(self, file: LabelledFile) -> str:
        return _without(file.name.stem, self.rules.image_only)

    def mask_key(self, mask: PurePosixPath) -> str:
        # That of a folder is its whole name: it has no suffix.
        is_file = mask.suffix.lower() in IMAGE_SUFFIXES
        return _without(mask.stem if is_file else mask.name, self.rules.anomaly_only)

    def unmatched(self) -> list[LabelledFile]:
        return [file for file in self.files if file.path not in self.by_image]

    def free(self) -> list[PurePosixPath]:
        return [mask for mask in self.masks if mask not in self.owner]

    def may_belong(self, mask: PurePosixPath, file: LabelledFile) -> bool:
        folders = mask.parts[:-1]
        return folders == file.folders or folders not in self.defect_folders

    def pair(self, found: Iterable[tuple[LabelledFile, Sequence[PurePosixPath]]]) -> None:
        """Enter what one rule found for all images; masks taken by an earlier rule are not among it."""
        for file, fitting in found:
            chosen = fitting
            if len(fitting) > 1:
                chosen = [mask for mask in fitting if mask.parent.name == file.name.parent.name]
            if len(fitting) > 1 and len(chosen) != 1:
                raise DatasetError(
                    f"several masks fit {file.name}: {some(fitting)}; keep one, put it into a folder called "
                    f"{file.name.parent.name}, or use file_name_image_only and file_name_anomaly_only to say how the "
                    "names differ"
                )
            for mask in chosen:
                other = self.owner.setdefault(mask, file)
                if other != file:
                    raise DatasetError(
                        f"mask {mask} fits both {other.name} and {file.name}; rename one of the images or keep the masks "
                        "in a folder for each defect"
                    )
                self.by_image[file.path] = mask


def match_masks(
    files: Sequence[LabelledFile], anomaly_dir: Path, rules: MaskRules | None = None
) -> tuple[dict[Path, PurePosixPath], list[str]]:
    """Pair each nok image with its mask.

    The first rule that finds a mask decides; what one has taken is not there for the next.

    Several masks of one image lie in a folder called as the image, in the folder of its defect (MVTec LOCO AD:
    `logical_anomalies/000/000.png`, `001.png`); they are one mask then, the folder.

    1. The same sub-folder, the stem equal or with `_mask` behind it. The only rule where the user did not name the
       folder, since a wrong mask is worse than none.
    2. The same stem (or with `_mask`) in a sub-folder that is not another defect's.
    3. The image's stem is part of the mask's name, in such a sub-folder; one mask only.

    Where 2 or 3 finds several, the one in a folder called as the image's own decides. 2 and 3 are HALCON's rules,
    which looks into folders of other defects too.

    Args:
        files: The labelled images.
        anomaly_dir: Folder of the masks; where it is absent there are none.
        rules: How names are compared.

    Returns:
        Mask name (relative to `anomaly_dir`) by the image's path, and remarks.

    Raises:
        DatasetError: Several masks fit an image, a mask fits several images, an image of the set lies among the masks,
            or, where the user named the folder, it or a sub-folder is missing or no mask fits any image.
    """
    rules = rules or MaskRules()
    if not anomaly_dir.is_dir():
        if rules.must_match:
            raise DatasetError(
                f"the folder of masks, {anomaly_dir}, does not exist; give the folder that contains them"
            )
        return {}, []
    masks, others = find_pictures(anomaly_dir)
    masks = in_sub_dirs(anomaly_dir, masks, rules.sub_dirs, "anomaly_sub_dirs")
    _refuse_images(anomaly_dir, masks, files)
    notes = (
        [
            (
                f"{counted(len(others), 'mask')} {agreed(len(others), 'is', 'are')} of a format that is not read: "
                f"{some(others)}"
            )
        ]
        if others
        else []
    )
    nok = [file for file in files if file.label == "nok"]
    matching = _Matching(nok, _united(nok, masks, rules), rules)
    matching.pair(_in_own_folder(matching))
    if rules.must_match:
        matching.pair(_elsewhere(matching, _is_same))
        matching.pair(_elsewhere(matching, _is_part))
    if rules.must_match and not matching.by_image:
        raise DatasetError(
            f"no mask below {anomaly_dir} fits an image; a mask is named <defect>/<image>_mask.png or "
            "<defect>/<image>.png; if the names differ in another way, say so with file_name_image_only and "
            "file_name_anomaly_only"
        )
    if unused := matching.free():
        belong = agreed(
            len(unused), "does not belong to any nok image and is", "do not belong to any nok image and are"
        )
        notes.append(f"{counted(len(unused), 'mask')} {belong} ignored: {some(unused)}")
    return matching.by_image, notes


def _united(files: Sequence[LabelledFile], masks: Sequence[PurePosixPath], rules: MaskRules) -> list[PurePosixPath]:
    """The masks, those in a folder that is called as an image replaced by their folder."""
    places = {(*file.folders, _without(file.name.stem, rules.image_only)) for file in files}
    return list(dict.fromkeys(mask.parent if mask.parts[:-1] in places else mask for mask in masks))


def _refuse_images(anomaly_dir: Path, masks: Iterable[PurePosixPath], files: Iterable[LabelledFile]) -> None:
    """An image paired with itself, or with another, would mark nearly all of its pixels."""
    images = {file.path.resolve() for file in files}
    if found := [mask for mask in masks if (anomaly_dir / mask).resolve() in images]:
        raise DatasetError(
            f"the folder of masks, {anomaly_dir}, contains images of the data set, which are not masks: "
            f"{some(found)}; give a folder that contains only masks, or name its sub-folders of masks with "
            "anomaly_sub_dirs"
        )


def _in_own_folder(matching: _Matching) -> Iterable[tuple[LabelledFile, list[PurePosixPath]]]:
    by_place: dict[tuple[tuple[str, ...], str], list[PurePosixPath]] = {}
    for mask in matching.masks:
        by_place.setdefault((mask.parts[:-1], matching.mask_key(mask)), []).append(mask)
    for file in matching.files:
        key = matching.image_key(file)
        fitting = [mask for s in ("", _MASK_SUFFIX) for mask in by_place.get((file.folders, key + s), [])]
        if len(fitting) > 1:
            raise DatasetError(f"several masks fit {file.name}: {some(fitting)}; keep one")
        yield file, fitting


def _elsewhere(matching: _Matching, fits: Callable[[str, str], bool]) -> list[tuple[LabelledFile, list[PurePosixPath]]]:
    free = [(mask, matching.mask_key(mask)) for mask in matching.free()]
    found = []
    for file in matching.unmatched():
        key = matching.image_key(file)
        found.append((file, [m for m, name in free if fits(key, name) and matching.may_belong(m, file)]))
    return found


def _is_same(image_key: str, mask_key: str) -> bool:
    return mask_key in {image_key, image_key + _MASK_SUFFIX}


def _is_part(image_key: str, mask_key: str) -> bool:
    return image_key in mask_key


def _without(stem: str, affix: str) -> str:
    """The stem without the affix, unless nothing would be left to compare."""
    if not affix or stem == affix:
        return stem
    return stem.removesuffix(affix) if stem.endswith(affix) else stem.removeprefix(affix)
