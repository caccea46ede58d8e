"""Synthetic defects: what is changed, where, and that seed and index alone decide."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.models import ok_picture
from trainer.errors import DatasetError
from trainer.synthesis.defects import DEFECT_KINDS, Defect, DefectKind, add_defect
from trainer.synthesis.spots import MOST_SIZE, structure_of

COLOUR = ok_picture(np.random.default_rng(3), width=160, height=120)
GRAY = COLOUR[..., 0].copy()
EVEN = np.full((64, 64), 128, np.uint8)


def defect(picture: NDArray[np.uint8], kind: DefectKind, index: int = 0, **options: object) -> Defect:
    return add_defect(picture, kind, seed=1, index=index, **options)  # type: ignore[arg-type]


def changed(picture: NDArray[np.uint8], made: Defect) -> NDArray[np.bool_]:
    differs = made.picture != picture
    return np.asarray(differs if picture.ndim == 2 else differs.any(axis=2))


@pytest.mark.parametrize("kind", DEFECT_KINDS)
@pytest.mark.parametrize("picture", [GRAY, COLOUR], ids=["gray", "colour"])
def test_a_defect_is_small_visible_and_where_the_mask_says(picture: NDArray[np.uint8], kind: DefectKind) -> None:
    before = picture.copy()
    for index in range(20):
        made = defect(picture, kind, index)
        assert (made.picture.shape, made.mask.shape) == (picture.shape, picture.shape[:2])
        assert made.picture.dtype == np.uint8
        assert 0 < made.mask.sum() <= np.pi * (1.2 * MOST_SIZE * 120 / 2 + 2) ** 2
        # The soft edge reaches a little further than the mask, which is where it is at least half.
        rows, columns = np.nonzero(made.mask)
        edge = 8
        around = np.zeros_like(made.mask)
        around[max(0, rows.min() - edge) : rows.max() + edge, max(0, columns.min() - edge) : columns.max() + edge] = (
            True
        )
        assert not changed(picture, made)[~around].any()
        assert np.abs(made.picture.astype(int) - picture)[made.mask].mean() >= 6
    assert np.array_equal(picture, before)


def test_seed_index_and_kind_alone_decide() -> None:
    first, again = defect(COLOUR, "displaced", 4), defect(COLOUR.copy(), "displaced", 4)
    assert np.array_equal(first.picture, again.picture)
    assert np.array_equal(first.mask, again.mask)
    others = [
        defect(COLOUR, "displaced", 5),
        defect(COLOUR, "missing", 4),
        add_defect(COLOUR, "displaced", seed=2, index=4),
    ]
    assert not any(np.array_equal(first.mask, other.mask) for other in others)


def test_the_same_picture_at_twice_the_size_gets_a_defect_of_twice_the_size() -> None:
    large = np.repeat(np.repeat(GRAY, 2, axis=0), 2, axis=1)
    areas = [[defect(picture, "blot", i).mask.mean() for i in range(60)] for picture in (GRAY, large)]
    assert np.mean(areas[0]) == pytest.approx(np.mean(areas[1]), rel=0.25)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("kind", DEFECT_KINDS)
def test_an_even_picture_gets_a_blot_where_nothing_else_would_show(kind: DefectKind, value: int) -> None:
    picture = np.full_like(EVEN, value)
    made = defect(picture, kind)
    assert made.kind == ("scar" if kind == "scar" else "blot")
    assert changed(picture, made).any()


@pytest.mark.parametrize("shape", [(16, 16), (16, 400), (300, 17, 3)])
def test_tiny_and_narrow_pictures_get_defects_too(shape: tuple[int, ...]) -> None:
    picture = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    for kind in DEFECT_KINDS:
        for index in range(20):
            made = defect(picture, kind, index)
            assert made.mask.any()
            assert changed(picture, made).any()


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(DatasetError, match="a picture of 40 x 15 pixels is too small for a synthetic defect; give"):
        defect(np.zeros((15, 40), np.uint8), "blot")


def test_a_defect_lies_where_it_may_and_changes_nothing_else() -> None:
    inside = np.zeros(GRAY.shape, np.bool_)
    inside[20:60, 30:70] = True
    for kind in DEFECT_KINDS:
        for index in range(20):
            made = defect(GRAY, kind, index, inside=inside)
            assert made.mask.any()
            assert not changed(GRAY, made)[~inside].any()
            assert not made.mask[~inside].any()


def test_no_room_for_a_defect_is_refused() -> None:
    with pytest.raises(DatasetError, match="there is no pixel where a defect may be painted"):
        defect(GRAY, "scar", inside=np.zeros(GRAY.shape, np.bool_))


def test_defects_lie_where_there_is_structure() -> None:
    picture = np.full((100, 100), 200, np.uint8)
    picture[:, 50:] = np.random.default_rng(0).integers(0, 255, (100, 50), dtype=np.uint8)
    assert structure_of(picture)[:, 24:].sum() > 0.9
    right = [np.nonzero(defect(picture, "blot", index).mask)[1].mean() > 50 for index in range(40)]
    assert sum(right) > 32
