"""Which files of one or several folders are images, and which of them are used; `labelling` gives each its label.

Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from trainer.errors import DatasetError
from trainer.formats.known import READABLE
from trainer.labels.nearest import BY_WORDS, LabelRules
from trainer.listing.labelling import SPLIT_FOLDERS, Layout, label_names
from trainer.listing.search import is_folder, search_folder
from trainer.listing.tally import LeftOut, Reason
from trainer.wording import agreed, counted, some


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
        DatasetError: No folder, one inside another, one that cannot be read or has no image, or names that do not say which
            images are ok.
    """
    _check_folders(image_dirs)
    by_root: dict[Path, list[PurePosixPath]] = {}
    others: list[PurePosixPath] = []
    left_out: list[LeftOut] = []
    is_single = len(image_dirs) == 1
    for image_dir in image_dirs:
        found = search_folder(image_dir)
        others += found.other_formats
        root, prefix = (image_dir, PurePosixPath()) if is_single else _root_and_prefix(image_dir, found.taken)
        inside = in_sub_dirs(image_dir, found.taken, sub_dirs, "image_sub_dirs")
        reasons: dict[PurePosixPath, Reason] = dict(found.left_out)
        reasons |= dict.fromkeys(set(found.taken) - set(inside), "outside the sub-folders that were asked for")
        left_out += [LeftOut(str(n if is_single else image_dir / n), why) for n, why in sorted(reasons.items())]
        if not inside:
            strange = found.other_formats
            hint = f"; save {some(strange)} in one of these formats" if strange else "; give the folder that holds them"
            where = f" (only {some(sub_dirs)} are searched)" if sub_dirs else ""
            raise DatasetError(f"there is no image below {image_dir}{where}; supported formats: {READABLE}{hint}")
        by_root.setdefault(root, []).extend(prefix / name for name in inside)
    notes = (
        [f"{counted(len(others))} {agreed(len(others), 'is', 'are')} of a format that is not read: {some(others)}"]
        if others
        else []
    )
    layout = label_names({root: sorted(names) for root, names in by_root.items()}, all_ok=all_ok, rules=rules)
    taken = {file.path for file in layout.files}
    strangers = [root / name for root, names in by_root.items() for name in names if root / name not in taken]
    for path in strangers:
        name = path.relative_to(image_dirs[0]) if is_single else path
        left_out.append(LeftOut(str(name), "outside train/, validation/ and test/"))
    return replace(layout, notes=(*notes, *layout.notes), left_out=tuple(left_out))


def _check_folders(image_dirs: Sequence[Path]) -> None:
    if not image_dirs:
        raise DatasetError("no folder of images was given; give one or more")
    for image_dir in image_dirs:
        if not is_folder(image_dir):
            what = "is a file" if image_dir.exists() else "does not exist"
            raise DatasetError(f"{image_dir} {what}; give the folder that holds the images")
    real = [image_dir.resolve() for image_dir in image_dirs]
    for i, inner in enumerate(real):
        for outer in real[:i] + real[i + 1 :]:
            if inner.is_relative_to(outer):
                raise DatasetError(
                    f"{inner} is inside {outer}, so its images would count twice; give only one of the two"
                )


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
    found = search_folder(root)
    return found.taken, found.other_formats
