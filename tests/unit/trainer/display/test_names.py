from __future__ import annotations

from pathlib import PurePath

from trainer.display.names import picture_names


def names(*images: str) -> list[str]:
    return [str(name) for name in picture_names([PurePath(image) for image in images])]


def test_a_picture_is_called_as_its_image() -> None:
    assert names("a/x.jpg", "b/x.png", "c.d/e", "y.tar.png") == ["a/x.png", "b/x.png", "c.d/e.png", "y.tar.png"]


def test_images_that_differ_in_their_suffix_are_kept_apart() -> None:
    assert names("a/x.jpg", "b/x.png", "a/x.bmp") == ["a/x_jpg.png", "b/x.png", "a/x_bmp.png"]


def test_names_that_are_taken_are_numbered() -> None:
    assert names("x.jpg", "x.png", "x_jpg.jpg") == ["x_jpg_2.png", "x_png.png", "x_jpg.png"]
    assert names("X.jpg", "x.jpg") == ["X_jpg.png", "x_jpg_2.png"], "some file systems know no case"
