from __future__ import annotations

import numpy as np

from deploy.local.prometheus import Series
from tests.monitoring.rules import PACE_S
from tests.monitoring.strokes import APART, _points


def test_no_line_leads_across_scrapes_without_a_value() -> None:
    times = [PACE_S * number for number in (0, 1, 1 + APART, 2 + 2 * APART)]
    at, values = _points(Series({}, [(float(time), 7.0) for time in times]))
    assert list(at) == [*times[:3], times[2] + PACE_S, times[3]]
    assert list(np.isfinite(values)) == [True, True, True, False, True]
