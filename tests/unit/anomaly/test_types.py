from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.anomaly.types import ScoreScale

positive = st.floats(min_value=1e-6, max_value=1e9)


@given(a=positive, b=positive, s=positive)
def test_a_scale_never_turns_the_order_round(a: float, b: float, s: float) -> None:
    scale = ScoreScale(s=s)
    low, high = sorted((a, b))
    assert 0.0 <= scale.to_score(low) <= scale.to_score(high) < 1.0


@given(distance=st.floats(min_value=2.0**-10, max_value=2.0**10, width=32), s=st.floats(min_value=1e-1, max_value=1e2))
def test_a_scale_keeps_neighbouring_float32_distances_apart(distance: float, s: float) -> None:
    above = float(np.nextafter(np.float32(distance), np.float32(np.inf)))
    scale = ScoreScale(s=s)
    assert scale.to_score(distance) < scale.to_score(above)
    assert scale.to_distance(scale.to_score(distance)) == pytest.approx(distance, rel=1e-9)


@pytest.mark.parametrize("s", [0.0, -1.0, math.nan, math.inf, 1e-40, 1e40])
def test_a_scale_that_is_none_is_refused(s: float) -> None:
    with pytest.raises(ValueError, match="s"):
        ScoreScale(s=s)


@pytest.mark.parametrize("distance", [1e17, 1e300])
def test_even_an_absurd_distance_scores_below_1(distance: float) -> None:
    assert 0.999 < ScoreScale(s=1.0).to_score(distance) < 1.0


@pytest.mark.parametrize("distance", [math.nan, math.inf])
def test_a_score_of_what_is_not_finite_is_not_finite(distance: float) -> None:
    assert not math.isfinite(ScoreScale(s=1.0).to_score(distance))


@given(distance=st.floats(1e-6, 1e6), s=st.floats(1e-3, 1e3))
def test_a_map_is_brought_back_to_its_distances(distance: float, s: float) -> None:
    image = np.full((2, 3), distance / (distance + s), np.float32)
    if image[0, 0] == 1:
        return  # no score is
    found = ScoreScale(s=s).map_to_distances(image)
    assert found.dtype == np.float64
    # A float32 next to 1 stands for many distances.
    np.testing.assert_allclose(found, distance, rtol=1e-6 * (1 + distance / s), atol=1e-7 * s)
