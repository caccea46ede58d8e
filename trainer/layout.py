"""Which files of a folder are images, which label each has, and which mask belongs to it.

Two layouts are known. *MVTec AD*: `train/good`, `test/good`, `test/<defect>`, masks in `ground_truth/<defect>`.
*Folders*: anything else; the folder's name decides (HALCON's rule: `ok` or `good`, in any case, is ok, all else is
nok), and images that lie directly in the folder are ok. Nothing here opens a file.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from trainer.errors import DatasetError

ImageLabel = Literal["ok", "nok"]
SplitName = Literal["train", "validation", "test"]
LayoutName = Literal["mvtec", "folders", "all_ok"]

IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_OTHER_IMAGE_SUFFIXES = frozenset({".bmp", ".tif", ".tiff", ".webp", ".gif", ".pgm", ".ppm", ".jp2"})
_OK_FOLDER = re.compile(r"ok|good", re.IGNORECASE)
_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
_MASK_FOLDER = "ground_truth"
_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One image file, with what its place in the folder says about it."""

    name: PurePosixPath
    """Relative to the image folder."""
    label: ImageLabel
    split: SplitName | None
    folders: tuple[str, ...]
    """The folders around the file, without the image folder and the one that names the split."""

    @property
    def defect(self) -> str | None:
        """Name of the defect: the outermost folder of a nok image."""
        return self.folders[0] if self.label == "nok" else None


@dataclass(frozen=True, slots=True)
class Layout:
    """All images of a folder, in the order of their names, and remarks that the user should read."""

    kind: LayoutName
    files: tuple[LabelledFile, ...]
    notes: tuple[str, ...]


def some(names: Iterable[object]) -> str:
    """The first few names, and how many more there are: for messages."""
    listed = [str(name) for name in names]
    more = len(listed) - _NAMES_SHOWN
    return ", ".join(listed[:_NAMES_SHOWN]) + (f" and {more} more" if more > 0 else "")


def find_images(image_dir: Path, *, all_ok: bool = False) -> Layout:
    """Find and label the images below `image_dir`; links are followed, hidden files and masks left out.

    Args:
        image_dir: The folder to search.
        all_ok: Label every image ok, whatever its folder is called.

    Raises:
        DatasetError: No folder, no image, or names that do not say which images are ok.
    """
    if not image_dir.is_dir():
        what = "is a file" if image_dir.exists() else "does not exist"
        raise DatasetError(f"{image_dir} {what}; give the folder that holds the images")
    names, others = _walk(image_dir)
    if not names:
        hint = f"; convert {some(others)} to PNG or JPEG" if others else ""
        raise DatasetError(f"no JPEG or PNG image below {image_dir}{hint}")
    notes = [f"{len(others)} images are of a format that is not read: {some(others)}"] if others else []
    # A lone test/ is of this layout too: its ok images are never what a model is fitted on.
    is_mvtec = any(name.parts[0].lower() in {"train", "test"} for name in names if len(name.parts) > 1)
    if all_ok:
        files = [LabelledFile(name, "ok", None, name.parts[:-1]) for name in names]
        notes.append(f"all {len(files)} images are taken as ok, whatever their folder is called, as asked")
        return Layout("all_ok", tuple(files), tuple(notes))
    files, more = _label_mvtec(image_dir, names) if is_mvtec else _label_folders(image_dir, names)
    kind: LayoutName = "mvtec" if is_mvtec else "folders"
    if kind == "folders" and all(file.label == "ok" for file in files):
        kind = "all_ok"
    return Layout(kind, tuple(files), (*notes, *more))


def _walk(root: Path) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Names of JPEG and PNG files, and of pictures in other formats, both sorted."""
    names: list[PurePosixPath] = []
    others: list[PurePosixPath] = []
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        is_top = Path(folder) == root
        hidden = [s for s in subfolders if s.startswith(".") or (is_top and s.lower() == _MASK_FOLDER)]
        # A link to a folder above would never end; one that was seen already would double its images.
        subfolders[:] = [] if real in visited else sorted(set(subfolders) - set(hidden))
        if real in visited:
            continue
        visited.add(real)
        for file in files:
            name = PurePosixPath(Path(folder, file).relative_to(root).as_posix())
            if file.startswith("."):
                continue
            if name.suffix.lower() in IMAGE_SUFFIXES:
                names.append(name)
            elif name.suffix.lower() in _OTHER_IMAGE_SUFFIXES:
                others.append(name)
    return sorted(names), sorted(others)


def _label_mvtec(root: Path, names: Sequence[PurePosixPath]) -> tuple[list[LabelledFile], list[str]]:
    files: list[LabelledFile] = []
    strangers: list[PurePosixPath] = []
    flat: Counter[str] = Counter()
    for name in names:
        top, folders = name.parts[0], name.parts[1:-1]
        split = _SPLIT_FOLDERS.get(top.lower()) if len(name.parts) > 1 else None
        if split is None:
            strangers.append(name)
        elif folders:
            files.append(_labelled(name, folders, split))
        elif split == "test":
            raise DatasetError(
                f"{root / name} lies directly in {top}/, which does not say whether it is ok; "
                f"move it to {top}/good or {top}/<name of the defect>"
            )
        else:
            flat[top] += 1
            files.append(LabelledFile(name, "ok", split, ()))
    notes = [f"{count} images directly in {top}/ are taken as ok" for top, count in flat.items()]
    if strangers:
        notes.append(f"{len(strangers)} images outside train/, validation/ and test/ are ignored: {some(strangers)}")
    return files, [*notes, *_nested(files)]


def _label_folders(root: Path, names: Sequence[PurePosixPath]) -> tuple[list[LabelledFile], list[str]]:
    direct = [name for name in names if len(name.parts) == 1]
    if not direct and (
        sets := sorted({name.parts[0] for name in names if "train" in map(str.lower, name.parts[1:-1])})
    ):
        raise DatasetError(f"{root} holds several data sets ({some(sets)}); give one of them: {root / sets[0]}")
    if len(direct) == len(names) or _OK_FOLDER.fullmatch(root.resolve().name):
        note = f"all {len(names)} images in {root} are taken as ok"
        return [LabelledFile(name, "ok", None, name.parts[:-1]) for name in names], [note]
    if direct:
        raise DatasetError(
            f"{root} holds images both directly ({some(direct)}) and in folders, which does not say which are ok; "
            f"move the ok images to {root / 'good'} and the others to {root}/<name of the defect>"
        )
    files = [_labelled(name, name.parts[:-1], None) for name in names]
    if all(file.label == "nok" for file in files):
        folders = sorted({name.parts[0] for name in names})
        raise DatasetError(
            f"no ok image below {root}: none of its folders ({some(folders)}) is named ok or good; "
            "rename the folder of ok images, or pass --all-ok if every image is ok"
        )
    return files, _nested(files)


def _labelled(name: PurePosixPath, folders: tuple[str, ...], split: SplitName | None) -> LabelledFile:
    is_ok = any(_OK_FOLDER.fullmatch(folder) for folder in folders)
    return LabelledFile(name, "ok" if is_ok else "nok", split, folders)


def _nested(files: Iterable[LabelledFile]) -> list[str]:
    """HALCON looks at the parent folder only; `good/monday` counts as ok here, and the user is told."""
    parents = Counter(
        f.name.parent for f in files if f.label == "ok" and len(f.name.parts) > 1 and not _is_ok(f.name.parent)
    )
    return [
        f"{count} images in {parent}/ are taken as ok, as a folder around it is named ok or good"
        for parent, count in sorted(parents.items())
        if any(_OK_FOLDER.fullmatch(part) for part in parent.parts)
    ]


def _is_ok(folder: PurePosixPath) -> bool:
    return _OK_FOLDER.fullmatch(folder.name) is not None


def match_masks(
    files: Sequence[LabelledFile], anomaly_dir: Path | None, *, must_match: bool
) -> tuple[dict[PurePosixPath, PurePosixPath], list[str]]:
    """Pair each nok image with its mask: same defect's folder, stem equal or with `_mask` behind it.

    Args:
        files: The labelled images.
        anomaly_dir: Folder with one sub-folder for each defect; None or absent means that there are no masks.
        must_match: Whether the user named the folder, so that finding nothing in it is an error.

    Returns:
        Mask name (relative to `anomaly_dir`) by image name, and remarks.

    Raises:
        DatasetError: Several masks fit an image, a mask fits several images, or none fits any.
    """
    if anomaly_dir is None or not anomaly_dir.is_dir():
        if must_match:
            raise DatasetError(f"the folder with masks, {anomaly_dir}, does not exist")
        return {}, []
    masks, others = _walk(anomaly_dir)
    notes = [f"{len(others)} masks are of a format that is not read: {some(others)}"] if others else []
    by_place: dict[tuple[tuple[str, ...], str], list[PurePosixPath]] = {}
    for mask in masks:
        by_place.setdefault((mask.parts[:-1], mask.stem), []).append(mask)
    matched: dict[PurePosixPath, PurePosixPath] = {}
    owner: dict[PurePosixPath, PurePosixPath] = {}
    for file in (file for file in files if file.label == "nok"):
        fitting = [m for s in ("", "_mask") for m in by_place.get((file.folders, file.name.stem + s), [])]
        if len(fitting) > 1:
            raise DatasetError(f"several masks fit {file.name}: {some(fitting)}; keep one in {anomaly_dir}")
        for mask in fitting:
            if owner.setdefault(mask, file.name) != file.name:
                raise DatasetError(f"mask {mask} fits both {owner[mask]} and {file.name}; rename one of the images")
            matched[file.name] = mask
    if must_match and not matched:
        raise DatasetError(
            f"no mask below {anomaly_dir} fits an image; a mask is named <defect>/<image>_mask.png or <defect>/<image>.png"
        )
    unused = [mask for mask in masks if mask not in owner]
    if unused:
        notes.append(f"{len(unused)} masks belong to no nok image and are ignored: {some(unused)}")
    return matched, notes
