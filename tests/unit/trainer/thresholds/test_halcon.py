from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainer.errors import CalibrationError
from trainer.thresholds.halcon import PARITY_FACTOR, halcon_image_thresholds, halcon_segmentation_threshold
from trainer.thresholds.scores import PixelStatistics

# Few distinct values, so that ties within and between the classes are common; and any values at all.
COARSE = st.lists(st.integers(0, 12).map(lambda i: i / 16), min_size=1, max_size=12)
FINE = st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=12)
SCORES = st.one_of(COARSE, FINE)


def sweep(ok: list[float], nok: list[float]) -> float:
    """The lowest of the scores from min nok on with the least FPR + FNR; the sample at the threshold counts as ok."""
    best: tuple[int, float] | None = None
    for threshold in ok + nok:
        if threshold < min(nok):
            continue
        false_positives = false_negatives = 0
        for score in ok:
            if score > threshold:
                false_positives += 1
        for score in nok:
            if score <= threshold:
                false_negatives += 1
        error = false_positives * len(nok) + false_negatives * len(ok)
        if best is None or (error, threshold) < best:
            best = (error, threshold)
    assert best is not None
    return best[1]


def reference(ok: list[float], nok: list[float]) -> list[float]:
    """HALCON's rule, written out as it is described in words: plain loops, no sorting, no sharing with the code."""
    above = max(ok) * (1 + 1e-15)
    if not nok:
        return [above]
    lowest = min(nok)
    if above < lowest:
        return [above, lowest, above + (lowest - above) / 2]
    return [above, lowest, sweep(ok, nok)]


def error_rates(ok: list[float], nok: list[float], threshold: float) -> float:
    """FPR + FNR of the verdict: at or above the threshold is nok."""
    return sum(score >= threshold for score in ok) / len(ok) + sum(score < threshold for score in nok) / len(nok)


@given(ok=SCORES, nok=st.one_of(st.just([]), SCORES))
def test_parity_with_the_reference(ok: list[float], nok: list[float]) -> None:
    assert list(halcon_image_thresholds(ok, nok, is_parity=True)) == reference(ok, nok)


def test_parity_with_the_reference_on_thousands_of_draws() -> None:
    rng = np.random.default_rng(20)
    for _ in range(4000):
        ok = rng.normal(0.4, 0.1, rng.integers(1, 25)).clip(0, 0.99)
        nok = rng.normal(0.55, rng.choice([0.02, 0.15]), rng.integers(0, 25)).clip(0, 0.99)
        if rng.random() < 0.4:
            ok, nok = ok.round(2), nok.round(2)
        if rng.random() < 0.3:
            ok, nok = ok.astype(np.float32), nok.astype(np.float32)
        expected = reference([float(v) for v in ok], [float(v) for v in nok])
        assert list(halcon_image_thresholds(ok, nok, is_parity=True)) == expected


@given(ok=SCORES, nok=SCORES)
def test_corrected_sweep_is_the_best_that_any_threshold_does(ok: list[float], nok: list[float]) -> None:
    above, lowest, middle = halcon_image_thresholds(ok, nok)  # type: ignore[misc]
    found = error_rates(ok, nok, middle)
    every = [*ok, *nok, *(math.nextafter(v, math.inf) for v in ok + nok)]
    assert found <= min(error_rates(ok, nok, t) for t in every) + 1e-12
    assert middle >= lowest or above < lowest
    # What HALCON chooses is never better, by the verdicts that are given.
    assert found <= error_rates(ok, nok, reference(ok, nok)[2]) + 1e-12


def test_off_by_one_of_halcon_is_worse_nearly_always_where_classes_overlap() -> None:
    """halcon.md: 93 % of overlapping draws of 20 + 20 are worse than the optimum, by at most 1 / n."""
    rng = np.random.default_rng(5)
    worse, draws = 0, 0
    while draws < 1000:
        ok, nok = rng.normal(4, 1, 20).clip(0).tolist(), rng.normal(5, 1, 20).clip(0).tolist()
        if max(ok) < min(nok):
            continue
        draws += 1
        halcon = error_rates(ok, nok, halcon_image_thresholds(ok, nok, is_parity=True)[-1])
        corrected = error_rates(ok, nok, halcon_image_thresholds(ok, nok)[-1])
        assert corrected <= halcon + 1e-12
        assert halcon <= corrected + 1 / 20 + 1e-12
        worse += halcon > corrected + 1e-12
    assert 0.85 < worse / draws < 0.99


def test_separable_classes_are_parted_midway() -> None:
    above, lowest, middle = halcon_image_thresholds([0.1, 0.3], [0.7, 0.5])  # type: ignore[misc]
    assert 0.3 < above < 0.30001
    assert lowest == 0.5
    assert middle == pytest.approx(0.4, abs=1e-5)


def test_equal_highest_ok_and_lowest_nok_is_an_overlap() -> None:
    assert halcon_image_thresholds([0.1, 0.5], [0.5, 0.9], is_parity=True)[1:] == (0.5, 0.5)
    assert halcon_image_thresholds([0.1, 0.5], [0.5, 0.9])[1:] == (0.5, 0.5)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("is_parity", [True, False])
def test_the_highest_ok_image_passes_whatever_the_type_of_the_scores(dtype: type, *, is_parity: bool) -> None:
    """In float32 a factor of 1 + 1e-15 changes nothing, and the worst ok image would be nok."""
    assert np.float32(0.7) * np.float32(PARITY_FACTOR) == np.float32(0.7), "the trap"
    scores: NDArray[np.floating] = np.array([0.2, 0.7, 0.4], dtype=dtype)
    above, *others = halcon_image_thresholds(scores, is_parity=is_parity)
    assert not others
    assert isinstance(above, float)
    assert float(scores.max()) < above < float(scores.max()) * 1.0001


def test_a_score_of_zero_is_raised_too_unless_halcon_is_followed() -> None:
    assert halcon_image_thresholds([0.0])[0] > 0
    assert halcon_image_thresholds([0.0], is_parity=True)[0] == 0


def test_without_ok_scores_there_is_no_threshold() -> None:
    with pytest.raises(CalibrationError, match="no score of an ok image"):
        halcon_image_thresholds([], [0.5])


@pytest.mark.parametrize(
    ("ok", "nok", "name"), [([0.1, math.nan], [], "ok"), ([-0.1], [], "ok"), ([0.1], [0.2, math.inf], "nok")]
)
def test_scores_that_are_none_are_refused(ok: list[float], nok: list[float], name: str) -> None:
    with pytest.raises(CalibrationError, match=f"a score of a {name} image is .*finite and not negative"):
        halcon_image_thresholds(ok, nok)


# ------------------------------------------------------------------------------------------------------------- pixels


def slow_mean_and_deviation(values: NDArray[np.float64]) -> tuple[float, float]:
    total = 0.0
    for value in values:
        total += float(value)
    mean = total / len(values)
    squares = 0.0
    for value in values:
        squares += (float(value) - mean) ** 2
    return mean, math.sqrt(squares / (len(values) - 1))


@given(seed=st.integers(0, 2**32 - 1), n_images=st.integers(1, 6), offset=st.sampled_from([0.0, 0.2, 0.9]))
def test_streamed_pixels_are_as_all_at_once(seed: int, n_images: int, offset: float) -> None:
    rng = np.random.default_rng(seed)
    pixels, values = PixelStatistics(), []
    for _ in range(n_images):
        noise = rng.random((rng.integers(2, 9), rng.integers(1, 9))) * rng.choice([1e-5, 0.1])
        image = (offset + noise).astype(np.float32)
        domain = rng.random(image.shape) < 0.7 if rng.random() < 0.5 else None
        pixels.add(image, domain)
        values.append(image.ravel() if domain is None else image[domain])
    every = np.concatenate(values).astype(np.float64)
    assert (pixels.n_images, pixels.n_pixels) == (n_images, len(every))
    if len(every) < 2:
        return
    mean, deviation = slow_mean_and_deviation(every)
    assert pixels.mean == pytest.approx(mean, rel=1e-12)
    assert pixels.deviation == pytest.approx(deviation, rel=1e-9, abs=1e-15)
    assert halcon_segmentation_threshold(pixels) == pytest.approx(mean + 4 * deviation, rel=1e-9)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_broken_pixel_is_refused(value: float) -> None:
    with pytest.raises(CalibrationError, match="an anomaly image has values that are not finite"):
        PixelStatistics().add(np.array([[value, 0.0]], np.float32))


@pytest.mark.parametrize("n_images", [0, 1])
def test_pixels_that_say_nothing_are_refused(n_images: int) -> None:
    pixels = PixelStatistics()
    for _ in range(n_images):
        pixels.add(np.zeros((2, 2), np.float32), np.zeros((2, 2), np.bool_))
    with pytest.raises(CalibrationError, match=f"got {n_images} with 0 pixels inside the domain"):
        halcon_segmentation_threshold(pixels)


def test_a_domain_of_another_size_is_refused() -> None:
    with pytest.raises(CalibrationError, match=r"domain is \(3, 2\), but the anomaly image is \(2, 2\)"):
        PixelStatistics().add(np.zeros((2, 2), np.float32), np.ones((3, 2), np.bool_))


def test_scaled_statistics_are_those_of_the_scaled_pixels() -> None:
    """Scores of folds are brought to the level of the model of all images; so are their pixels."""
    images = np.random.default_rng(3).gamma(2.0, size=(3, 8, 9))
    plain, scaled = PixelStatistics(), PixelStatistics()
    for image in images:
        plain.add(image)
        scaled.add(0.9 * image)
    found = plain.scaled(0.9)
    assert (found.n_images, found.n_pixels) == (3, images.size)
    assert found.mean == pytest.approx(scaled.mean)
    assert found.deviation == pytest.approx(scaled.deviation)
    assert plain.mean == pytest.approx(images.mean())


def test_less_than_two_pixels_deviate_by_nothing() -> None:
    pixels = PixelStatistics()
    assert (pixels.mean, pixels.deviation) == (0.0, 0.0)
    pixels.add(np.array([[3.0]], np.float32))
    assert (pixels.mean, pixels.deviation) == (3.0, 0.0)
