from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from trainer.errors import EvaluationError
from trainer.evaluation.pixel_measures import FEW_PIXELS, PixelMeasures

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]
Pair = tuple[Map, Mask]

MAPS = arrays.arrays(np.float32, (6, 7), elements=st.floats(0, 1, width=32))
FEW_VALUES = arrays.arrays(np.float32, (6, 7), elements=st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]))
MASKS = arrays.arrays(np.bool_, (6, 7))
IMAGES = st.lists(st.tuples(st.one_of(MAPS, FEW_VALUES), MASKS), min_size=1, max_size=3)


def counted(images: Sequence[Pair]) -> PixelMeasures:
    measures = PixelMeasures()
    for anomaly_image, mask in images:
        measures.add(anomaly_image, mask)
    return measures


def slow_aupro(images: Sequence[Pair], limit: float = 0.3) -> float:
    """AUPRO as Bergmann et al. (2021) describe it, one threshold and one region at a time."""
    regions = []
    normal = np.concatenate([anomaly_image[~mask] for anomaly_image, mask in images])
    for anomaly_image, mask in images:
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [anomaly_image[labels == k + 1] for k in range(count)]
    thresholds = sorted({float(v) for anomaly_image, _ in images for v in anomaly_image.ravel()}, reverse=True)
    curve = [(0.0, 0.0)]
    for threshold in thresholds:
        overlap = float(np.mean([(region >= threshold).mean() for region in regions]))
        curve.append((float((normal >= threshold).mean()), overlap))
    area = 0.0
    for (x0, y0), (x1, y1) in pairwise(curve):
        if x0 >= limit or x0 == x1:
            continue
        end = min(x1, limit)
        y_end = y0 + (y1 - y0) * (end - x0) / (x1 - x0)
        area += (end - x0) * (y0 + y_end) / 2
    return area / limit


def crowded(random: np.random.Generator, shape: tuple[int, int], share: float = 0.05) -> Pair:
    """Values crowd near 0.001 and near 1, where evenly spaced bins would lose the order; masks are blobs."""
    mask = ndimage.binary_dilation(random.random(shape) < share / 20, iterations=2)
    low, high = random.beta(1, 900, shape), 1 - random.beta(1, 900, shape)
    values = np.where(random.random(shape) < 0.5, low, high)
    return (values + mask * random.random(shape) * (1 - values)).astype(np.float32), mask


def flat(images: Sequence[Pair]) -> tuple[Mask, Map]:
    return np.concatenate([m.ravel() for _, m in images]), np.concatenate([a.ravel() for a, _ in images])


def test_figures_agree_with_the_definitions_within_small_bounds() -> None:
    random = np.random.default_rng(0)
    images = [crowded(random, (20 + i, 31)) for i in range(4)]
    images.append((images[0][0], np.zeros_like(images[0][1])))  # an ok image: its pixels count as false positives
    measures = counted(images)
    masks, values = flat(images)
    expected = (roc_auc_score(masks, values), average_precision_score(masks, values), slow_aupro(images))
    for found, truth in zip((measures.auroc(), measures.average_precision(), measures.aupro()), expected, strict=True):
        assert found is not None
        value, error = found
        assert abs(value - truth) <= error + 1e-12
        assert 0 < error < 5e-3
    assert measures.n_images == 5
    assert measures.n_regions == sum(ndimage.label(m, structure=np.ones((3, 3)))[1] for _, m in images)


@given(IMAGES, st.sampled_from([0.05, 0.3, 1.0]))
def test_bounds_always_hold(images: list[Pair], limit: float) -> None:
    measures = counted(images)
    masks, values = flat(images)
    if masks.all() or not masks.any():
        assert (measures.auroc(), measures.average_precision(), measures.aupro(limit)) == (None, None, None)
        return
    found = (measures.auroc(), measures.average_precision(), measures.aupro(limit))
    expected = (roc_auc_score(masks, values), average_precision_score(masks, values), slow_aupro(images, limit))
    for pair, truth in zip(found, expected, strict=True):
        assert pair is not None
        value, error = pair
        assert abs(value - truth) <= error + 1e-9
        assert 0 <= value <= 1


@given(st.lists(st.tuples(FEW_VALUES, MASKS), min_size=1, max_size=3), st.sampled_from([0.05, 0.3, 1.0]))
def test_values_that_lie_in_different_bins_are_exact(images: list[Pair], limit: float) -> None:
    measures = counted(images)
    masks, values = flat(images)
    pairs = measures.auroc(), measures.average_precision(), measures.aupro(limit)
    if pairs[0] is None or pairs[1] is None or pairs[2] is None:
        return
    assert pairs[0][0] == pytest.approx(roc_auc_score(masks, values), abs=1e-12)
    assert pairs[1][0] == pytest.approx(average_precision_score(masks, values), abs=1e-12)
    assert pairs[2][0] == pytest.approx(slow_aupro(images, limit), abs=1e-12)


@settings(max_examples=40)  # each allocates tens of megabytes
@given(IMAGES, st.randoms(use_true_random=False))
def test_order_does_not_matter(images: list[Pair], random: object) -> None:
    whole = counted(images)
    mixed = list(images)
    random.shuffle(mixed)  # type: ignore[attr-defined]
    parts = counted(mixed)
    assert (parts.n_images, parts.n_regions) == (whole.n_images, whole.n_regions)
    assert parts.auroc() == whole.auroc()
    assert parts.average_precision() == whole.average_precision()
    found, expected = parts.aupro(), whole.aupro()
    assert (found is None) == (expected is None)
    if found is not None and expected is not None:
        assert found == pytest.approx(expected, abs=1e-12), "sums of 1 / area round by their order"


# --------------------------------------------------------------------------------------------------------------- regions


def test_each_region_weighs_the_same_whatever_its_area() -> None:
    mask = np.zeros((20, 20), np.bool_)
    mask[0, 0] = True
    mask[5:15, 5:15] = True
    anomaly_image = np.full((20, 20), 0.1, np.float32)
    anomaly_image[0, 0] = 0.9
    anomaly_image[5:15, 5:15] = 0.05
    found = counted([(anomaly_image, mask)]).aupro()
    assert found is not None
    # The point is found before any normal pixel, the square after all of them: the line from (0, 1/2) to (1, 1/2).
    assert found[0] == pytest.approx(0.5, abs=1e-12)


def test_pixels_that_touch_at_a_corner_are_one_region() -> None:
    measures = PixelMeasures()
    measures.add(np.zeros((3, 3), np.float32), np.eye(3, dtype=np.bool_))
    assert measures.n_regions == 1


def test_curve_is_cut_within_a_step_at_the_limit() -> None:
    # Two thresholds: the first reaches half of the region and no normal pixel, the second everything.
    mask = np.zeros((1, 12), np.bool_)
    mask[0, :2] = True
    anomaly_image = np.full((1, 12), 0.2, np.float32)
    anomaly_image[0, 0] = 0.8
    found = counted([(anomaly_image, mask)]).aupro(0.3)
    assert found is not None
    assert found[0] == pytest.approx((0.5 + 0.65) / 2, abs=1e-12)


# ---------------------------------------------------------------------------------------------------------------- domain


@settings(max_examples=40)  # each allocates tens of megabytes
@given(MAPS, MASKS, MASKS)
def test_pixels_outside_the_domain_do_not_count(anomaly_image: Map, mask: Mask, valid: Mask) -> None:
    measures = PixelMeasures()
    measures.add(anomaly_image, mask, valid)
    noisy = np.where(valid, anomaly_image, 1 - anomaly_image)
    other = PixelMeasures()
    other.add(noisy, mask, valid)
    assert measures.auroc() == other.auroc()
    assert measures.aupro() == other.aupro()
    inside, values = mask[valid], anomaly_image[valid]
    found = measures.auroc()
    if inside.any() and not inside.all():
        assert found is not None
        assert abs(found[0] - roc_auc_score(inside, values)) <= found[1] + 1e-9
    else:
        assert found is None


def test_domain_that_is_everything_changes_nothing() -> None:
    image = crowded(np.random.default_rng(1), (30, 40))
    whole, valid = counted([image]), PixelMeasures()
    valid.add(*image, np.ones((30, 40), np.bool_))
    assert valid.aupro() == whole.aupro()


def test_region_that_the_domain_cuts_is_one_and_counts_its_inside() -> None:
    mask = np.zeros((3, 9), np.bool_)
    mask[1, 1:8] = True
    valid = np.ones((3, 9), np.bool_)
    valid[:, 3:6] = False
    anomaly_image = np.where(mask, np.float32(0.9), np.float32(0.1))
    anomaly_image[1, 6:8] = 0.05
    measures = PixelMeasures()
    measures.add(anomaly_image, mask, valid)
    assert measures.n_regions == 1
    found = measures.aupro()
    assert found is not None
    assert found[0] == pytest.approx(0.5, abs=1e-12), "two of its four pixels inside are found first"


def test_region_outside_the_domain_is_none() -> None:
    mask = np.zeros((4, 4), np.bool_)
    mask[0, 0] = True
    measures = PixelMeasures()
    measures.add(np.zeros((4, 4), np.float32), mask, ~mask)
    assert (measures.n_regions, measures.aupro()) == (0, None)


# ----------------------------------------------------------------------------------------------------------------- values


def test_non_finite_pixels_count_as_most_anomalous() -> None:
    measures = PixelMeasures()
    measures.add(
        np.array([[0.1, np.nan], [np.inf, -np.inf], [1 - 1e-7, 0.2]], np.float32),
        np.array([[False, True], [True, True], [False, False]]),
    )
    assert measures.auroc() == (1.0, 0.0)
    assert measures.average_precision() == (1.0, 0.0)
    assert measures.aupro() == (1.0, 0.0)


def test_values_beyond_the_range_count_as_its_ends() -> None:
    measures = PixelMeasures()
    measures.add(np.array([[-5.0, -0.0, 0.0, 7.0, 1.0]], np.float32), np.array([[True, False, False, False, True]]))
    assert measures.auroc() == pytest.approx((3.5 / 6, 3 / 6 / 2))


def test_many_pixels_at_once_are_counted_as_the_same_a_few_at_a_time() -> None:
    values, mask = crowded(np.random.default_rng(3), (1100, 1000))
    assert (~mask).sum() > FEW_PIXELS
    mask[:, 100:] = False  # no region lies on both sides of a cut
    whole = counted([(values, mask)])
    parts = counted([(part, area) for part, area in zip(np.hsplit(values, 10), np.hsplit(mask, 10), strict=True)])
    assert (parts.auroc(), parts.average_precision()) == (whole.auroc(), whole.average_precision())
    assert parts.aupro() == pytest.approx(whole.aupro(), abs=1e-12)


def test_memory_does_not_grow_with_the_images() -> None:
    random = np.random.default_rng(2)
    measures = PixelMeasures()

    def held() -> int:
        return sum(value.nbytes if isinstance(value, np.ndarray) else 8 for value in vars(measures).values())

    before = held()
    for size in range(20, 60):
        measures.add(*crowded(random, (size, 2 * size)))
    assert held() == before
    assert before < 60e6
    assert set(vars(measures)) == set(vars(PixelMeasures()))


# --------------------------------------------------------------------------------------------------------------- refusals


def test_shapes_that_differ_are_refused() -> None:
    anomaly_image, mask = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_)
    with pytest.raises(EvaluationError, match=r"mask \(2, 3\) differ in shape"):
        PixelMeasures().add(anomaly_image, np.zeros((2, 3), np.bool_))
    with pytest.raises(EvaluationError, match=r"valid \(3, 2\) differ in shape"):
        PixelMeasures().add(anomaly_image, mask, np.zeros((3, 2), np.bool_))
    with pytest.raises(EvaluationError, match="not matrices"):
        PixelMeasures().add(anomaly_image[0], mask[0])


def test_masks_of_numbers_are_refused() -> None:
    anomaly_image, mask = np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_)
    with pytest.raises(EvaluationError, match=r"mask is uint8; give bool, such as mask > 0"):
        PixelMeasures().add(anomaly_image, mask.astype(np.uint8))
    with pytest.raises(EvaluationError, match="valid is int64"):
        PixelMeasures().add(anomaly_image, mask, mask.astype(np.int64))


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, float("nan")])
def test_impossible_limit_is_refused(limit: float) -> None:
    with pytest.raises(EvaluationError, match="limit of the false-positive rate"):
        PixelMeasures().aupro(limit)


def test_refused_image_leaves_no_trace() -> None:
    measures = PixelMeasures()
    with pytest.raises(EvaluationError):
        measures.add(np.zeros((2, 2), np.float32), np.ones((2, 2), np.bool_), np.zeros((3, 3), np.bool_))
    assert (measures.n_images, measures.n_regions, measures.has_both) == (0, 0, False)
