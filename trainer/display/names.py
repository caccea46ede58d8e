"""The names of drawn pictures: `x.png` for `x.jpg`, and no name twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath


def picture_names(images: Sequence[PurePath]) -> list[PurePath]:
    """Name a PNG file for each image, in its folder.

    Images that differ in their suffix only have it in their picture's name: `x_jpg.png` and `x_bmp.png`. Names that differ in
    case only count as alike, since some file systems hold them so.

    Args:
        images: Names of images, or paths.

    Returns:
        As many names, all different.
    """
    plain = [image.with_suffix(".png") for image in images]
    uses = Counter(map(_key, plain))
    taken = {key for key, count in uses.items() if count == 1}
    names: list[PurePath] = []
    for image, name in zip(images, plain, strict=True):
        if uses[_key(name)] > 1:
            name = _free(image, taken)  # noqa: PLW2901 - the same name, told from the others
            taken.add(_key(name))
        names.append(name)
    return names


def _free(image: PurePath, taken: set[str]) -> PurePath:
    stem = "_".join(filter(None, (image.stem, image.suffix.lstrip("."))))
    number, name = 1, image.with_name(f"{stem}.png")
    while _key(name) in taken:
        number += 1
        name = image.with_name(f"{stem}_{number}.png")
    return name


def _key(name: PurePath) -> str:
    return str(name).casefold()
