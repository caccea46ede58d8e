"""Labels the images that were found, by the folders around them or by a pattern in their names.

Two layouts are known. *MVTec AD*: `train/good`, `test/good`, `test/<defect>`, masks in `ground_truth/<defect>`.
*Folders*: anything else; the nearest folder decides (`labels/nearest`), and images directly in a single folder are ok, unless their
names say nok. If a label pattern is given, the names decide. Nothing here opens a file.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from inspector.anomaly.choices import AnomalyClass
from trainer.errors import DatasetError
from trainer.labels.nearest import BY_WORDS, LabelRules, defect_by_folders, doubt, has_letter, label_by_folders
from trainer.labels.words import said_by, speaks_of_nok
from trainer.listing.listing import LayoutName, SplitName
from trainer.listing.tally import LeftOut
from trainer.wording import agreed, counted, some

SPLIT_FOLDERS: dict[str, SplitName] = {
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
    rules: LabelRules = BY_WORDS

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.root / self.name

    @property
    def defect(self) -> str | None:
        """Name of the defect: the outermost folder of a nok image, or the outermost inside one named ok; None without folders."""
        return defect_by_folders(self.folders, self.rules) if self.label == "nok" else None


@dataclass(frozen=True, slots=True)
class Layout:
    """All images of the folders, in the order of their names, and remarks that the user should read."""

    kind: LayoutName
    files: tuple[LabelledFile, ...]
    notes: tuple[str, ...]
    left_out: tuple[LeftOut, ...] = ()
    """What else lies in the folders, and why it is not among the files."""


def label_names(
    by_root: dict[Path, list[PurePosixPath]], *, all_ok: bool = False, rules: LabelRules = BY_WORDS
) -> Layout:
    """Label files by their place: names relative to a folder, for each folder.

    Raises:
        DatasetError: The names do not say which images are ok, or the folders are of different layouts.
    """
    if all_ok:
        files = [LabelledFile(root, n, "ok", None, n.parts[:-1]) for root, names in by_root.items() for n in names]
        all_images = (
            f"{'all ' if len(files) > 1 else ''}{counted(len(files))} {agreed(len(files), 'is', 'are')} taken as ok"
        )
        note = f"{all_images}, whatever {agreed(len(files), 'its', 'their')} folder is called, as requested"
        return Layout("all_ok", tuple(files), (note,))
    _check_ok_folders(by_root, rules)
    # A lone test/ is of this layout too: its ok images are never what a model is fitted on.
    mvtec = {root: any(_names_a_split(name) for name in names) for root, names in by_root.items()}
    if len(set(mvtec.values())) > 1:
        (one, *_), (other, *_) = ([r for r, is_mvtec in mvtec.items() if is_mvtec is kind] for kind in (True, False))
        raise DatasetError(
            f"{one} has folders train/ and test/ that say what to test on, but {other} does not; read them "
            "separately, or move the images of the latter into such folders"
        )
    is_mvtec = any(mvtec.values())
    label = _label_names if rules.pattern is not None else _label_mvtec if is_mvtec else _label_folders
    files, notes = [], []
    for root, names in by_root.items():
        labelled, more = label(root, names, rules)
        files += labelled
        notes += more
    if not is_mvtec and all(file.label == "nok" for file in files):
        raise DatasetError(f"no ok image below {some(by_root)}: {_why_none(files, rules)}")
    if rules.pattern is None:
        _refuse_nok_names(files, rules)
    folders_kind: LayoutName = "all_ok" if all(file.label == "ok" for file in files) else "folders"
    return Layout("mvtec" if is_mvtec else folders_kind, tuple(files), tuple(notes))


def _why_none(files: Sequence[LabelledFile], rules: LabelRules) -> str:
    if rules.pattern is not None:
        return (
            f"label_pattern {rules.pattern.text!r} matches none of the names as ok, for example {files[0].name}; "
            "correct it"
        )
    folders = sorted({file.name.parts[0] for file in files})
    return (
        f"none of its folders ({some(folders)}) is named ok or good; rename the folder of ok images, name it with "
        "--ok-folder, or pass --all-ok if every image is ok"
    )


def _check_ok_folders(by_root: dict[Path, list[PurePosixPath]], rules: LabelRules) -> None:
    """Refuse a name that is not a folder's: a typing error would silently make its images nok."""
    there = {part for names in by_root.values() for name in names for part in name.parts[:-1]}
    there |= {root.resolve().name for root in by_root}
    for wanted in rules.ok_folders:
        if not any(LabelRules((wanted,)).is_named_ok(folder) for folder in there):
            raise DatasetError(
                f"--ok-folder {wanted!r} is not the name of a folder with images; there are {some(sorted(there))}; correct it"
            )


def _refuse_nok_names(files: Sequence[LabelledFile], rules: LabelRules) -> None:
    """A file that is called nok is not learnt as ok because of its folder, unless the user named that folder."""

    def is_settled(file: LabelledFile) -> bool:
        nearest = next((folder for folder in reversed(file.folders) if has_letter(folder)), file.root.resolve().name)
        return any(map(rules.is_named_ok, (nearest, *file.folders[-1:])))

    ok = [file for file in files if file.label == "ok"]
    spoken = [file for file in ok if speaks_of_nok(file.name.stem) and not is_settled(file)]
    if not spoken:
        return
    mends = ["pass --all-ok if every image is ok"]
    if folders := sorted({file.folders[-1] for file in spoken if file.folders}):
        mends.insert(0, f"pass --ok-folder {folders[0]!r} if all images in it are ok")
    if all(said_by(file.name.stem) is not None for file in ok if file.name.parent == spoken[0].name.parent):
        mends.insert(
            0, "pass --label-pattern '(OK|NOK)' with the words that the names hold, so that they give the labels"
        )
    raise DatasetError(
        f"{len(spoken)} of {len(ok)} images that would be taken as ok have names that say nok: "
        f"{some(file.name for file in spoken)}; move them into a folder named nok, or {', or '.join(mends)}"
    )


def _names_a_split(name: PurePosixPath) -> bool:
    return len(name.parts) > 1 and name.parts[0].lower() in {"train", "test"}


def _ignored(strangers: Sequence[PurePosixPath]) -> str:
    are = agreed(len(strangers), "is", "are")
    return f"{counted(len(strangers))} outside train/, validation/ and test/ {are} ignored: {some(strangers)}"


def _label_names(root: Path, names: Sequence[PurePosixPath], rules: LabelRules) -> tuple[list[LabelledFile], list[str]]:
    """By the pattern; folders still say the split."""
    if rules.pattern is None:
        raise DatasetError("label_pattern is missing; give one")
    is_mvtec = any(map(_names_a_split, names))
    splits = {n: SPLIT_FOLDERS.get(n.parts[0].lower()) if is_mvtec and len(n.parts) > 1 else None for n in names}
    taken = [name for name in names if not is_mvtec or splits[name] is not None]
    files = [
        LabelledFile(root, name, label, splits[name], name.parts[is_mvtec:-1])
        for name, label in rules.pattern.labels(taken).items()
    ]
    notes = []
    for label in ("ok", "nok"):
        found = [file.name for file in files if file.label == label]
        are = agreed(len(found), "is", "are")
        notes.append(
            f"{counted(len(found))} in {root} {are} {label} by label_pattern {rules.pattern.text!r}"
            + (f": {some(found, 3)}" if found else "")
        )
    if strangers := [name for name in names if name not in splits or (is_mvtec and splits[name] is None)]:
        notes.append(_ignored(strangers))
    return files, notes


def _label_mvtec(root: Path, names: Sequence[PurePosixPath], rules: LabelRules) -> tuple[list[LabelledFile], list[str]]:
    nested: list[_Place] = []
    strangers: list[PurePosixPath] = []
    direct: list[LabelledFile] = []
    for name in names:
        top, folders = name.parts[0], name.parts[1:-1]
        split = SPLIT_FOLDERS.get(top.lower()) if len(name.parts) > 1 else None
        if split is None:
            strangers.append(name)
        elif folders:
            nested.append((name, folders, split))
        elif split == "test":
            raise DatasetError(
                f"{root / name} is directly in {top}/, so it is not clear whether it is ok; move it to {top}/good or "
                f"{top}/<name of the defect>"
            )
        else:
            direct.append(LabelledFile(root, name, "ok", split, (), rules))
    flat = Counter(file.name.parts[0] for file in direct)
    notes = [
        f"{counted(count)} directly in {top}/ {agreed(count, 'is', 'are')} taken as ok" for top, count in flat.items()
    ]
    if strangers:
        notes.append(_ignored(strangers))
    files = sorted([*direct, *_labelled(root, nested, rules)], key=lambda file: file.name)
    return files, [*notes, *_nested(files, rules)]


def _label_folders(
    root: Path, names: Sequence[PurePosixPath], rules: LabelRules
) -> tuple[list[LabelledFile], list[str]]:
    direct = [name for name in names if len(name.parts) == 1]
    if not direct and (
        sets := sorted({name.parts[0] for name in names if "train" in map(str.lower, name.parts[1:-1])})
    ):
        raise DatasetError(f"{root} holds several data sets ({some(sets)}); give one of them: {root / sets[0]}")
    own_name = root.resolve().name
    is_flat = len(direct) == len(names)
    if is_flat and (spoken := _speaking_of_nok(root, rules)):
        raise DatasetError(
            f"{root} says by {'its name' if spoken == own_name else f'the name {spoken} around it'} that its images "
            "are nok, which cannot be used for training; give the folder of ok images, or pass --all-ok if every "
            "image is ok"
        )
    if is_flat or rules.is_ok(own_name):
        around = (own_name if rules.is_ok(own_name) else "ok",)
        files = _labelled(root, [(name, name.parts[:-1], None) for name in names], rules, around)
        ok = sum(file.label == "ok" for file in files)
        return files, [
            f"{'all ' if ok == len(files) > 1 else ''}{counted(ok)} in {root} {agreed(ok, 'is', 'are')} taken as ok"
        ]
    if direct:
        raise DatasetError(
            f"{root} contains images both directly ({some(direct)}) and in folders, so it is not clear which ones are "
            f"ok; move the ok images to {root / 'good'} and the others to {root}/<name of the defect>"
        )
    files = _labelled(root, [(name, name.parts[:-1], None) for name in names], rules)
    return files, _nested(files, rules)


def _speaking_of_nok(root: Path, rules: LabelRules) -> str | None:
    """The folder's name, or where that has no letter the nearest around it that has one, if it speaks of nok."""
    path = root.resolve()
    named = next((part for part in reversed(path.parts) if has_letter(part)), "")
    return named if speaks_of_nok(named) and not any(map(rules.is_named_ok, (named, path.name))) else None


def _labelled(
    root: Path, places: Sequence[_Place], rules: LabelRules, around: tuple[str, ...] = ()
) -> list[LabelledFile]:
    """Label files by their folders, and by what is `around` them.

    Raises:
        DatasetError: Folders leave it in doubt.
    """
    files: list[LabelledFile] = []
    doubtful: dict[PurePosixPath, tuple[str, ...]] = {}
    for name, folders, split in places:
        label = label_by_folders((*around, *folders), rules)
        if label is None:
            doubtful[name.parent] = (*around, *folders)
        else:
            files.append(LabelledFile(root, name, label, split, folders, rules))
    if doubtful:
        first, *others = doubtful
        also = f"; the same goes for {some(root / other for other in others)}" if others else ""
        raise DatasetError(f"{doubt(PurePosixPath(*doubtful[first]), str(root / first), rules)}{also}")
    return files


def _nested(files: Iterable[LabelledFile], rules: LabelRules) -> list[str]:
    """HALCON looks at the parent folder only; `good/2024-05-01` counts as ok here, and the user is told."""
    parents = Counter(file.name.parent for file in files if file.label == "ok" and file.folders)
    return [
        f"{counted(count)} in {parent}/ {agreed(count, 'is', 'are')} taken as ok: its name says nothing, and a folder around it is named ok or good"
        for parent, count in sorted(parents.items())
        if not rules.is_ok(parent.name)
    ]
