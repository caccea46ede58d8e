from __future__ import annotations

import pytest

from inspector.anomaly.choices import AnomalyClass
from trainer.check.facts import Facts, SeenImage
from trainer.check.oddities import find_oddities
from trainer.formats.known import PictureFormat
from trainer.pictures.probe import Probe


def seen(
    name: str,
    label: AnomalyClass | None = "ok",
    *,
    size: tuple[int, int] = (640, 480),
    kind: PictureFormat = "png",
) -> SeenImage:
    probe = Probe(size[0], size[1], 3, name, name, format=kind, num_bytes=9, orientation=1)
    return SeenImage(name, probe, label)


def found(*images: SeenImage) -> dict[str, tuple[str, ...]]:
    usual = tuple(seen(f"ok/{number}.png") for number in range(6))
    return {oddity.short: oddity.names for oddity in find_oddities(Facts((*usual, *images)))}


def test_usual_images_have_none() -> None:
    assert found(seen("crack/1.png", "nok"), seen("ok/token_label2024.png".replace("label", "lab"))) == {}


def test_names_against_the_label() -> None:
    odd = found(seen("ok/part_NOK.png"), seen("crack/part_OK.png", "nok"), seen("crack/part_NOK.png", "nok"))
    assert odd == {"ok, name says nok": ("ok/part_NOK.png",), "nok, name says ok": ("crack/part_OK.png",)}


@pytest.mark.parametrize(
    "name",
    ["ok/a_mask.png", "ok/overlay.png", "ok/partHeatmap2.png", "ok/a (1).png", "ok/Kopie von a.png", "ok/thumb_1.png"],
)
def test_names_of_what_was_made_of_pictures(name: str) -> None:
    assert found(seen(name)) == {"named like a mask or result": (name,)}


def test_a_word_that_most_images_bear_says_nothing() -> None:
    images = [seen(f"ok/result_{number}.png") for number in range(9)]
    assert found(*images) == {}


def test_suffixes_that_are_not_the_contents() -> None:
    odd = found(seen("ok/a.jpg"), seen("ok/b.JPEG", kind="jpeg"), seen("ok/c.tif", kind="bmp"))
    assert odd == {"suffix does not match": ("ok/a.jpg", "ok/c.tif")}


def test_names_that_differ_in_capitals_alone() -> None:
    assert found(seen("ok/A.png"), seen("ok/a.png")) == {"name differs only in case": ("ok/A.png", "ok/a.png")}


def test_sizes_that_are_nearly_the_usual() -> None:
    odd = found(seen("ok/a.png", size=(638, 480)), seen("ok/b.png", size=(320, 240)), seen("ok/c.png", size=(640, 300)))
    assert odd == {"not quite 640x480": ("ok/a.png",)}


def test_nothing_is_odd_without_images() -> None:
    assert find_oddities(Facts(())) == []
