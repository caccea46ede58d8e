"""Which files of one or several folders are images, and which of them are looked at; `labelling` says which label each has.

Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from trainer.dataset.labelling import SPLIT_FOLDERS, Layout, label_names
from trainer.dataset.labels import BY_WORDS, LabelRules
from trainer.errors import DatasetError
from trainer.formats.known import IMAGE_SUFFIXES, READABLE, UNREAD_SUFFIXES
from trainer.wording import some

MASK_FOLDER = "ground_truth"


def is_mask_folder(name: str) -> bool:
    """Whether a folder is called as that of the masks: `ground_truth`, `Ground_Truth`, `GroundTruth`, `ground-truth`."""
    return name.casefold().replace("-", "").replace("_", "").replace(" ", "") == "groundtruth"


def mask_folder(root: Path) -> Path:
    """The folder of the masks of a folder of images, whatever its case; `ground_truth` where there is none.

    Raises:
        DatasetError: There are several.
    """
    found = (
        sorted(path for path in root.iterdir() if is_mask_folder(path.name) and path.is_dir()) if root.is_dir() else []
    )
    if len(found) > 1:
        raise DatasetError(f"{some(found)} may each hold the masks; keep one, or name it by --anomaly-dir")
    return found[0] if found else root / MASK_FOLDER


def find_images(
    image_dirs: Sequence[Path], *, all_ok: bool = False, sub_dirs: Sequence[str] = (), rules: LabelRules = BY_WORDS
) -> Layout:
    """Find and label the images below the folders; links are followed, hidden files and masks left out.

    Several folders are read as one set. One that holds images directly, or is called `train` or `test`, counts with
    its own name: `[parts/good, parts/crack]` are ok and nok images, as if `parts` had been given.

    Args:
        image_dirs: The folders to search.
        all_ok: Label every image ok, whatever its folder is called.
        sub_dirs: Take only what lies in these sub-folders of the folders; all where empty.
        rules: How labels are read.

    Raises:
        DatasetError: No folder, one inside another, no image, or names that do not say which images are ok.
    """
    _check_folders(image_dirs)
    by_root: dict[Path, list[PurePosixPath]] = {}
    others: list[PurePosixPath] = []
    for image_dir in image_dirs:
        names, strangers = find_pictures(image_dir)
        others += strangers
        root, prefix = _root_and_prefix(image_dir, names) if len(image_dirs) > 1 else (image_dir, PurePosixPath())
        inside = in_sub_dirs(image_dir, names, sub_dirs, "image_sub_dirs")
        by_root.setdefault(root, []).extend(prefix / name for name in inside)
    if not any(by_root.values()):
        hint = f"; save {some(others)} in one of these formats" if others else "; give the folder that holds them"
        where = f" (only {some(sub_dirs)} are looked in)" if sub_dirs else ""
        raise DatasetError(f"no image below {some(image_dirs)}{where}; what is read is {READABLE}{hint}")
    notes = [f"{len(others)} images are of a format that is not read: {some(others)}"] if others else []
    layout = label_names({root: sorted(names) for root, names in by_root.items() if names}, all_ok=all_ok, rules=rules)
    return Layout(layout.kind, layout.files, (*notes, *layout.notes))


def _check_folders(image_dirs: Sequence[Path]) -> None:
    if not image_dirs:
        raise DatasetError("no folder of images was given; give one or several")
    for image_dir in image_dirs:
        if not image_dir.is_dir():
            what = "is a file" if image_dir.exists() else "does not exist"
            raise DatasetError(f"{image_dir} {what}; give the folder that holds the images")
    real = [image_dir.resolve() for image_dir in image_dirs]
    for i, inner in enumerate(real):
        for outer in real[:i] + real[i + 1 :]:
            if inner.is_relative_to(outer):
                raise DatasetError(f"{inner} lies in {outer}, so its images would count twice; give one of the two")


def _root_and_prefix(image_dir: Path, names: Sequence[PurePosixPath]) -> tuple[Path, PurePosixPath]:
    """The folder that names count from, and what stands before them: one of several folders may be a label itself."""
    absolute = Path(os.path.abspath(image_dir))  # noqa: PTH100 - a link keeps the name that the user sees
    if absolute.name.lower() in SPLIT_FOLDERS or any(len(name.parts) == 1 for name in names):
        return absolute.parent, PurePosixPath(absolute.name)
    return absolute, PurePosixPath()


def in_sub_dirs(
    root: Path, names: Sequence[PurePosixPath], sub_dirs: Sequence[str], parameter: str
) -> list[PurePosixPath]:
    """Those names that lie in one of the sub-folders; all where there are none.

    Raises:
        DatasetError: A sub-folder is missing.
    """
    if not sub_dirs:
        return list(names)
    missing = [sub_dir for sub_dir in sub_dirs if not (root / sub_dir).is_dir()]
    if missing:
        raise DatasetError(f"{root} has no sub-folder {some(missing)}; correct {parameter}")
    wanted = [PurePosixPath(sub_dir) for sub_dir in sub_dirs]
    return [name for name in names if any(name.is_relative_to(folder) for folder in wanted)]


def find_pictures(root: Path) -> tuple[list[PurePosixPath], list[PurePosixPath]]:
    """Names of pictures in the formats that are read, and of others, both sorted and relative to `root`."""
    names: list[PurePosixPath] = []
    others: list[PurePosixPath] = []
    visited: set[str] = set()
    for folder, subfolders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        is_top = Path(folder) == root
        hidden = [s for s in subfolders if s.startswith(".") or (is_top and is_mask_folder(s))]
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
            elif name.suffix.lower() in UNREAD_SUFFIXES:
                others.append(name)
    return sorted(names), sorted(others)
