"""Which files of one or several folders are images, and which label each has.

Two layouts are known. *MVTec AD*: `train/good`, `test/good`, `test/<defect>`, masks in `ground_truth/<defect>`.
*Folders*: anything else; the nearest folder decides (`labels`), and images that lie directly in a lone folder are ok.
Nothing here opens a file.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from inspector.anomaly.types import AnomalyClass
from trainer.dataset.labels import defect_by_folders, doubt, is_nok_name, is_ok_name, label_by_folders
from trainer.dataset.listing import LayoutName, SplitName
from trainer.dataset.search import is_folder, search_folder
from trainer.dataset.tally import LeftOut, Reason
from trainer.errors import DatasetError
from trainer.wording import some

_SPLIT_FOLDERS: dict[str, SplitName] = {
    "train": "train",
    "validation": "validation",
    "val": "validation",
    "test": "test",
}
_Place = tuple[PurePosixPath, tuple[str, ...], SplitName | None]
"""A file's name, the folders around it but for that of its split, and the split."""


@dataclass(frozen=True, slots=True)
class LabelledFile:
    """One image file, with what its place in the folder says about it."""

    root: Path
    name: PurePosixPath
    """Relative to `root`."""
    label: AnomalyClass
    split: SplitName | None
    folders: tuple[str, ...]
    """The folders around the file, without `root` and the one that names the split."""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.root / self.name

    @property
    def defect(self) -> str | None:
        """Name of the defect: the outermost folder of a nok image, or the outermost inside one named ok."""
        return defect_by_folders(self.folders) if self.label == "nok" else None


@dataclass(frozen=True, slots=True)
class Layout:
    """All images of the folders, in the order of their names, and remarks that the user should read."""

    kind: LayoutName
    files: tuple[LabelledFile, ...]
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    """What else lies in the folders, and why it is not among the files."""


def find_images(image_dirs: Sequence[Path], *, all_ok: bool = False, sub_dirs: Sequence[str] = ()) -> Layout:
    """Find and label the images below the folders; links are followed, hidden files and masks left out.

    Several folders are read as one set. One that holds images directly, or is called `train` or `test`, counts with
    its own name: `[parts/good, parts/crack]` are ok and nok images, as if `parts` had been given.

    Args:
        image_dirs: The folders to search.
        all_ok: Label every image ok, whatever its folder is called.
        sub_dirs: Take only what lies in these sub-folders of the folders; all where empty.

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
            hint = f"; convert {some(strange)} to PNG or JPEG" if strange else "; give the folder that holds them"
            where = f" (only {some(sub_dirs)} are looked in)" if sub_dirs else ""
            raise DatasetError(f"no JPEG or PNG image below {image_dir}{where}{hint}")
        by_root.setdefault(root, []).extend(prefix / name for name in inside)
    notes = [f"{len(others)} images are of a format that is not read: {some(others)}"] if others else []
    layout = label_names({root: sorted(names) for root, names in by_root.items()}, all_ok=all_ok)
    taken = {file.path for file in layout.files}
    strangers = [root / name for root, names in by_root.items() for name in names if root / name not in taken]
    for path in strangers:
        name = path.relative_to(image_dirs[0]) if is_single else path
        left_out.append(LeftOut(str(name), "outside train/, validation/ and test/"))
    return replace(layout, notes=(*notes, *layout.notes), left_out=tuple(left_out))


def label_names(by_root: dict[Path, list[PurePosixPath]], *, all_ok: bool = False) -> Layout:
    """Label files by their place: names relative to a folder, for each folder.

    Raises:
        DatasetError: The names do not say which images are ok, or the folders are of different layouts.
    """
    if all_ok:
        files = [LabelledFile(root, n, "ok", None, n.parts[:-1]) for root, names in by_root.items() for n in names]
        note = f"all {len(files)} images are taken as ok, whatever their folder is called, as asked"
        return Layout("all_ok", tuple(files), (note,))
    # A lone test/ is of this layout too: its ok images are never what a model is fitted on.
    mvtec = {root: any(_names_a_split(name) for name in names) for root, names in by_root.items()}
    if len(set(mvtec.values())) > 1:
        (one, *_), (other, *_) = ([r for r, is_mvtec in mvtec.items() if is_mvtec is kind] for kind in (True, False))
        raise DatasetError(
            f"{one} says by train/ and test/ what to test on, {other} does not; read them one by one, or move the images "
            "of the latter into such folders"
        )
    is_mvtec = any(mvtec.values())
    files, notes = [], []
    for root, names in by_root.items():
        labelled, more = _label_mvtec(root, names) if is_mvtec else _label_folders(root, names)
        files += labelled
        notes += more
    if not is_mvtec and all(file.label == "nok" for file in files):
        folders = sorted({file.name.parts[0] for file in files})
        raise DatasetError(
            f"no ok image below {some(by_root)}: none of its folders ({some(folders)}) is named ok or good; "
            "rename the folder of ok images, or pass --all-ok if every image is ok"
        )
    folders_kind: LayoutName = "all_ok" if all(file.label == "ok" for file in files) else "folders"
    return Layout("mvtec" if is_mvtec else folders_kind, tuple(files), tuple(notes))


def _names_a_split(name: PurePosixPath) -> bool:
    return len(name.parts) > 1 and name.parts[0].lower() in {"train", "test"}


def _check_folders(image_dirs: Sequence[Path]) -> None:
    if not image_dirs:
        raise DatasetError("no folder of images was given; give one or several")
    for image_dir in image_dirs:
        if not is_folder(image_dir):
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
    if absolute.name.lower() in _SPLIT_FOLDERS or any(len(name.parts) == 1 for name in names):
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
    """Names of JPEG and PNG files, and of pictures in other formats, both sorted and relative to `root`."""
    found = search_folder(root)
    return found.taken, found.other_formats


def _label_mvtec(root: Path, names: Sequence[PurePosixPath]) -> tuple[list[LabelledFile], list[str]]:
    nested: list[_Place] = []
    strangers: list[PurePosixPath] = []
    direct: list[LabelledFile] = []
    for name in names:
        top, folders = name.parts[0], name.parts[1:-1]
        split = _SPLIT_FOLDERS.get(top.lower()) if len(name.parts) > 1 else None
        if split is None:
            strangers.append(name)
        elif folders:
            nested.append((name, folders, split))
        elif split == "test":
            raise DatasetError(
                f"{root / name} lies directly in {top}/, which does not say whether it is ok; "
                f"move it to {top}/good or {top}/<name of the defect>"
            )
        else:
            direct.append(LabelledFile(root, name, "ok", split, ()))
    flat = Counter(file.name.parts[0] for file in direct)
    notes = [f"{count} images directly in {top}/ are taken as ok" for top, count in flat.items()]
    if strangers:
        notes.append(f"{len(strangers)} images outside train/, validation/ and test/ are ignored: {some(strangers)}")
    files = sorted([*direct, *_labelled(root, nested)], key=lambda file: file.name)
    return files, [*notes, *_nested(files)]


def _label_folders(root: Path, names: Sequence[PurePosixPath]) -> tuple[list[LabelledFile], list[str]]:
    direct = [name for name in names if len(name.parts) == 1]
    if not direct and (
        sets := sorted({name.parts[0] for name in names if "train" in map(str.lower, name.parts[1:-1])})
    ):
        raise DatasetError(f"{root} holds several data sets ({some(sets)}); give one of them: {root / sets[0]}")
    own_name = root.resolve().name
    if len(direct) == len(names) and is_nok_name(own_name):
        raise DatasetError(
            f"{root} says by its name that its images are nok, and nothing is learnt from such; give the folder of ok images, "
            "or pass --all-ok if every image is ok"
        )
    if len(direct) == len(names) or is_ok_name(own_name):
        around = (own_name if is_ok_name(own_name) else "ok",)
        files = _labelled(root, [(name, name.parts[:-1], None) for name in names], around)
        ok = sum(file.label == "ok" for file in files)
        return files, [f"{'all ' if ok == len(files) else ''}{ok} images in {root} are taken as ok"]
    if direct:
        raise DatasetError(
            f"{root} holds images both directly ({some(direct)}) and in folders, which does not say which are ok; "
            f"move the ok images to {root / 'good'} and the others to {root}/<name of the defect>"
        )
    files = _labelled(root, [(name, name.parts[:-1], None) for name in names])
    return files, _nested(files)


def _labelled(root: Path, places: Sequence[_Place], around: tuple[str, ...] = ()) -> list[LabelledFile]:
    """Label files by their folders, and by what is `around` them.

    Raises:
        DatasetError: Folders leave it in doubt.
    """
    files: list[LabelledFile] = []
    doubtful: dict[PurePosixPath, tuple[str, ...]] = {}
    for name, folders, split in places:
        label = label_by_folders((*around, *folders))
        if label is None:
            doubtful[name.parent] = (*around, *folders)
        else:
            files.append(LabelledFile(root, name, label, split, folders))
    if doubtful:
        first, *others = doubtful
        also = f"; the same goes for {some(root / other for other in others)}" if others else ""
        raise DatasetError(f"{doubt(PurePosixPath(*doubtful[first]), str(root / first))}{also}")
    return files


def _nested(files: Iterable[LabelledFile]) -> list[str]:
    """HALCON looks at the parent folder only; `good/2024-05-01` counts as ok here, and the user is told."""
    parents = Counter(file.name.parent for file in files if file.label == "ok" and file.folders)
    return [
        f"{count} images in {parent}/ are taken as ok: its name says nothing, and a folder around it is named ok or good"
        for parent, count in sorted(parents.items())
        if not is_ok_name(parent.name)
    ]
