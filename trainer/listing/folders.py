"""Lists the images of folders with their masks and groups: HALCON's read_dl_dataset_anomaly, without opening them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import ClassVar

from trainer.errors import DatasetError
from trainer.labels.nearest import LabelRules
from trainer.labels.patterns import LabelPattern, check_group_pattern
from trainer.listing.labelling import LabelledFile, Layout, label_names
from trainer.listing.layout import find_images
from trainer.listing.listing import ListedImage, Listing
from trainer.listing.masks import MaskRules, match_masks
from trainer.listing.search import mask_folder
from trainer.listing.tally import LeftOut, Tally
from trainer.parameters import StageParameters
from trainer.wording import agreed, counted, some


class DatasetParam(StageParameters):
    """How folders are read; HALCON's ImageList, AnomalyList and GenParam, and what this project adds.

    Attributes:
        image_list: Names relative to the one image folder, instead of searching it.
        anomaly_list: For each of `image_list` the name of its mask relative to `anomaly_dir`, or None; instead of
            matching by name.
        image_sub_dirs: Sub-folders of the image folders to read; all where empty.
        anomaly_sub_dirs: Sub-folders of `anomaly_dir` to look for masks in; all where empty.
        file_name_image_only: Part of an image's stem that its mask lacks, `_image` for `1_image.png` and `1.png`. It is
            removed from the end of the stem, or else from its start, before names are compared.
        file_name_anomaly_only: Part of a mask's stem that its image lacks, `_label` for `1.png` and `1_label.png`.
        ignore_unmatched_images: Leave out nok images without a mask, all where there is none. False keeps them (HALCON does so always): they
            count for the image measures, and for no pixel measure.
        group_pattern: Regular expression, searched in each image's name (with its folders, relative to the image
            folder, `/` between); what its first group captures is the image's group: `(kos[0-9]+)_Part`.
        ok_folders: Names of folders whose images are ok, besides those that say so (`ok`, `good`, `pass`, `gut`).
        label_pattern: Regular expression, searched in each image's name; what it captures is the label, instead of the folders':
            `_(OK|NOK)`, or `(?P<ok>_A)|(?P<nok>_B)`. See `trainer.labels.patterns`.
    """

    refusal: ClassVar[type[DatasetError]] = DatasetError

    image_list: tuple[str, ...] | None = None
    anomaly_list: tuple[str | None, ...] | None = None
    image_sub_dirs: tuple[str, ...] = ()
    anomaly_sub_dirs: tuple[str, ...] = ()
    file_name_image_only: str = ""
    file_name_anomaly_only: str = ""
    ignore_unmatched_images: bool = False
    group_pattern: str | None = None
    ok_folders: tuple[str, ...] = ()
    label_pattern: str | None = None

    def check_consistency(self) -> None:
        """Refuse lists of unequal length, names that leave the folder, and patterns that capture nothing."""
        if self.image_list is not None:
            self._check_lists(self.image_list)
        elif self.anomaly_list is not None:
            raise DatasetError("anomaly_list needs image_list; give both or neither")
        if self.group_pattern is not None:
            check_group_pattern(self.group_pattern)
        if self.ok_folders and self.label_pattern is not None:
            raise DatasetError("ok_folders and label_pattern both say what is ok; leave one out")
        for name in _label_rules(self).ok_folders:
            if not name or "/" in name:
                raise DatasetError(
                    f"ok_folders takes names of folders, not paths such as {name!r}; give only the last part"
                )

    def _check_lists(self, image_list: tuple[str, ...]) -> None:
        if not image_list:
            raise DatasetError("image_list is empty; list the images, or leave it out to search the folder")
        if self.image_sub_dirs:
            raise DatasetError("image_list names every image, so image_sub_dirs has no effect; leave one of them out")
        if self.anomaly_list is not None and len(self.anomaly_list) != len(image_list):
            raise DatasetError(
                f"image_list has {len(image_list)} names, but anomaly_list has {len(self.anomaly_list)}; give one "
                "mask for each image, or None"
            )
        names = [*image_list, *(name for name in self.anomaly_list or () if name is not None)]
        if outside := [n for n in names if not n or PurePosixPath(n).is_absolute() or ".." in PurePosixPath(n).parts]:
            raise DatasetError(
                f"names must be relative to the folder and stay inside it, unlike {some(map(repr, outside))}"
            )
        for parameter, listed in (("image_list", image_list), ("anomaly_list", self.anomaly_list or ())):
            given = [PurePosixPath(name) for name in listed if name is not None]
            if len(set(given)) < len(given):
                twice = sorted({str(name) for name in given if given.count(name) > 1})
                raise DatasetError(f"{parameter} contains {some(twice)} more than once; remove the repetition")


def _label_rules(param: DatasetParam) -> LabelRules:
    pattern = None if param.label_pattern is None else LabelPattern(param.label_pattern)
    return LabelRules(tuple(name.rstrip("/") for name in param.ok_folders), pattern)


def list_folders(image_dirs: Sequence[Path], anomaly_dir: Path | None, param: DatasetParam, *, all_ok: bool) -> Listing:
    """List the images of the folders.

    Raises:
        DatasetError: See `trainer.dataset.read.read_dl_dataset_anomaly`.
    """
    if all_ok and (param.ok_folders or param.label_pattern is not None):
        raise DatasetError(
            "all_ok treats every image as ok, so ok_folders and label_pattern have no effect; leave one of them out"
        )
    rules = _label_rules(param)
    if param.image_list is None:
        layout = find_images(image_dirs, all_ok=all_ok, sub_dirs=param.image_sub_dirs, rules=rules)
    else:
        layout = _listed(image_dirs, param, all_ok=all_ok)
    single = len(image_dirs) == 1
    roots = sorted({file.root for file in layout.files})
    base = image_dirs[0] if single else Path(os.path.commonpath(roots))
    masks, notes = _masks(layout.files, anomaly_dir, param)
    files, left_out = layout.files, list(layout.left_out)
    if param.ignore_unmatched_images:
        files = tuple(file for file in files if file.label == "ok" or file.path in masks)
        if without := [file for file in layout.files if file not in files]:
            notes.append(
                f"{counted(len(without), 'nok image')} without a mask {agreed(len(without), 'is', 'are')} left out, "
                "as requested"
            )
            left_out += [LeftOut(_name(file.path, base), "nok without a mask") for file in without]
    masks_base = anomaly_dir or (mask_folder(base) if single else base)
    groups = _groups(files, base, param.group_pattern)
    images = [
        ListedImage(
            name=_name(file.path, base),
            label=file.label,
            split=file.split,
            defect=file.defect,
            mask=_name(masks[file.path], masks_base) if file.path in masks else None,
            group=groups.get(file.path),
        )
        for file in files
    ]
    where = roots[0] / "train" / "good" if layout.kind == "mvtec" else roots[0] / "good"
    return Listing(
        base,
        masks_base,
        layout.kind,
        tuple(images),
        (*layout.notes, *notes),
        f"put ok images into {where}",
        tally=Tally(len(images), tuple(left_out)),
    )


def _name(path: Path, base: Path) -> str:
    return path.relative_to(base).as_posix()


def _listed(image_dirs: Sequence[Path], param: DatasetParam, *, all_ok: bool) -> Layout:
    if len(image_dirs) != 1:
        raise DatasetError(
            f"image_list is relative to one folder, but {len(image_dirs)} were given; give their common folder"
        )
    (root,) = image_dirs
    if not root.is_dir():
        raise DatasetError(f"{root} is not a folder; give the folder to which image_list is relative")
    names = [PurePosixPath(name) for name in param.image_list or ()]
    if missing := [root / name for name in names if not (root / name).is_file()]:
        raise DatasetError(
            f"{some(missing)} of image_list does not exist; correct the name, or remove it from the list"
        )
    return label_names({root: sorted(names)}, all_ok=all_ok, rules=_label_rules(param))


def _masks(
    files: Sequence[LabelledFile], anomaly_dir: Path | None, param: DatasetParam
) -> tuple[dict[Path, Path], list[str]]:
    """Path of the mask by path of the image, and remarks."""
    if param.anomaly_list is not None:
        return _listed_masks(files, anomaly_dir, param), []
    rules = MaskRules(
        param.file_name_image_only,
        param.file_name_anomaly_only,
        param.anomaly_sub_dirs,
        must_match=anomaly_dir is not None,
    )
    by_folder: dict[Path, list[LabelledFile]] = {}
    folders = {file.root: anomaly_dir or mask_folder(file.root) for file in files}
    for file in files:
        by_folder.setdefault(folders[file.root], []).append(file)
    masks: dict[Path, Path] = {}
    notes: list[str] = []
    for folder, of_folder in by_folder.items():
        matched, more = match_masks(of_folder, folder, rules)
        masks |= {image: folder / mask for image, mask in matched.items()}
        notes += more
    return masks, notes


def _listed_masks(files: Sequence[LabelledFile], anomaly_dir: Path | None, param: DatasetParam) -> dict[Path, Path]:
    if anomaly_dir is None or not anomaly_dir.is_dir():
        raise DatasetError(f"anomaly_list is relative to anomaly_dir, which is {anomaly_dir}; give that folder")
    pairs = zip(param.image_list or (), param.anomaly_list or (), strict=True)
    by_name = {PurePosixPath(image): anomaly_dir / mask for image, mask in pairs if mask is not None}
    if missing := [mask for mask in by_name.values() if not mask.is_file()]:
        raise DatasetError(f"mask {some(missing)} of anomaly_list does not exist; correct the name, or give None")
    images = {file.path.resolve() for file in files}
    if own := [mask for mask in by_name.values() if mask.resolve() in images]:
        raise DatasetError(f"mask {some(own)} of anomaly_list is an image of the data set; give its mask, or None")
    return {file.path: by_name[file.name] for file in files if file.name in by_name}


def _groups(files: Sequence[LabelledFile], base: Path, pattern: str | None) -> dict[Path, str]:
    """Group by path of the image; empty without a pattern."""
    if pattern is None:
        return {}
    found = {file.path: re.search(pattern, _name(file.path, base)) for file in files}
    groups = {path: match[1] for path, match in found.items() if match and match[1]}
    if without := [_name(path, base) for path in found if path not in groups]:
        raise DatasetError(
            f"group_pattern {pattern!r} finds no group in {some(without)}; make it wider, because images of one group "
            "must not be used both for training and for testing"
        )
    return groups
