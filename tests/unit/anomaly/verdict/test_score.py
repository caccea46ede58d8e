from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import Tensor

from inspector.anomaly.errors import ParameterError
from inspector.anomaly.model.param import DLModelParam
from inspector.anomaly.verdict.score import ScoreRule

MAXIMUM = ScoreRule(kind="maximum")
RULES = (
    MAXIMUM,
    ScoreRule(top_share=0.01),
    ScoreRule(top_share=0.5),
    ScoreRule(kind="standard_deviation", standard_deviation_factor=0.0),
    ScoreRule(kind="standard_deviation", standard_deviation_factor=1.0),
    ScoreRule(kind="standard_deviation", standard_deviation_factor=3.0),
)

distances = st.lists(st.floats(min_value=0.0, max_value=1e6, width=32), min_size=1, max_size=60)


def standard_deviation(factor: float) -> ScoreRule:
    return ScoreRule(kind="standard_deviation", standard_deviation_factor=factor)


def batch_of(*rows: list[float]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float32)


def score(rule: ScoreRule, row: list[float]) -> float:
    found = rule.apply(batch_of(row))
    assert (found.shape, found.dtype) == ((1,), torch.float64)
    return float(found)


# ------------------------------------------------------------------------------------------------- against plain loops


@given(distances)
def test_the_maximum_is_the_largest(row: list[float]) -> None:
    assert score(MAXIMUM, row) == max(row)


@given(distances, st.floats(min_value=0.001, max_value=1.0))
def test_the_mean_of_the_top_is_that_of_a_sorted_list(row: list[float], top_share: float) -> None:
    count = max(1, round(top_share * len(row)))
    expected = math.fsum(sorted(row, reverse=True)[:count]) / count
    assert score(ScoreRule(top_share=top_share), row) == pytest.approx(expected, rel=1e-12)


@given(distances, st.floats(min_value=0.0, max_value=5.0))
def test_what_stands_out_is_above_mean_and_factor_times_deviation(row: list[float], factor: float) -> None:
    limit = math.fsum(row) / len(row) + factor * statistics.pstdev(row)
    if any(math.isclose(value, limit, rel_tol=1e-9) for value in row):
        return  # on the limit rounding decides
    outstanding = [value for value in row if value > limit]
    expected = math.fsum(outstanding) / len(outstanding) if outstanding else max(row)
    assert score(standard_deviation(factor), row) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("factor", "expected"),
    # Mean 3, deviation sqrt(10.4) = 3.22.
    [(0.0, 6.5), (1.0, 9.0), (1.5, 9.0), (1.9, 9.0), (5.0, 9.0)],
)
def test_an_example_by_hand(factor: float, expected: float) -> None:
    assert score(standard_deviation(factor), [0.0, 1.0, 1.0, 4.0, 9.0]) == expected


def test_where_nothing_stands_out_the_largest_is_the_score() -> None:
    assert score(standard_deviation(1.0), [2.0, 2.0, 2.0]) == 2.0
    assert score(standard_deviation(1.0), [7.0]) == 7.0
    assert score(standard_deviation(100.0), [1.0, 2.0, 3.0]) == 3.0


def test_all_dimensions_behind_the_first_are_positions() -> None:
    maps = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(0))
    for rule in RULES:
        assert torch.equal(rule.apply(maps), rule.apply(maps.flatten(1)))


# ------------------------------------------------------------------------------------------------- what every rule keeps


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("positions", [1, 7, 255, 4096, 5001])
def test_no_batch_changes_a_score(rule: ScoreRule, positions: int) -> None:
    batch = torch.rand(9, positions, generator=torch.Generator().manual_seed(positions)).square()
    together = rule.apply(batch)
    for row, found in zip(batch, together, strict=True):
        alone = rule.apply(row[None])
        if rule.kind == "mean_of_top":  # a continuous rule: the last bit of its sum may differ
            torch.testing.assert_close(alone[0], found, rtol=1e-14, atol=0)
        else:
            assert torch.equal(alone[0], found)


def test_a_distance_on_the_limit_stays_on_its_side_in_any_company() -> None:
    # Of 0, 0, 1, 1 the limit at factor 1 is 1 itself, up to rounding; a third value above makes sides matter.
    rng = np.random.default_rng(0)
    rule = standard_deviation(1.0)
    for _ in range(50):
        row = torch.from_numpy(rng.integers(0, 4, 37).astype(np.float32) / 3)
        company = torch.from_numpy(rng.random((int(rng.integers(1, 9)), 37), dtype=np.float32))
        assert torch.equal(rule.apply(torch.cat([company, row[None]]))[-1:], rule.apply(row[None]))


def test_no_image_has_no_score() -> None:
    for rule in RULES:
        none = rule.apply(torch.zeros(0, 4, 4))
        assert (none.shape, none.dtype) == ((0,), torch.float64)


@given(distances, st.sampled_from(RULES))
def test_a_score_lies_between_the_mean_and_the_largest(row: list[float], rule: ScoreRule) -> None:
    found = score(rule, row)
    mean = math.fsum(row) / len(row)
    assert mean * (1 - 1e-12) <= found <= max(row)


@given(distances, st.data())
def test_a_larger_distance_never_lowers_the_maximum_or_the_mean_of_the_top(
    row: list[float], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(row) - 1))
    raised = [*row[:index], row[index] + data.draw(st.floats(0.0, 1e6)), *row[index + 1 :]]
    for rule in RULES[:3]:
        assert score(rule, raised) >= score(rule, row) * (1 - 1e-12)


@given(distances, st.floats(0.0, 5.0), st.floats(0.0, 5.0))
def test_a_larger_factor_never_lowers_a_score(row: list[float], one: float, other: float) -> None:
    low, high = sorted((one, other))
    assert score(standard_deviation(low), row) <= score(standard_deviation(high), row) * (1 + 1e-12)


def test_a_small_defect_weighs_more_with_a_larger_factor() -> None:
    rng = np.random.default_rng(0)
    ok = rng.normal(1.0, 0.1, 1000).clip(0).tolist()
    nok = [*ok[:-3], 3.0, 3.0, 3.0]
    contrasts = [score(standard_deviation(f), nok) / score(standard_deviation(f), ok) for f in (0.0, 1.0, 3.0)]
    assert contrasts == sorted(contrasts)


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize("broken", [math.nan, math.inf])
@pytest.mark.parametrize("count", [1, 5, 10])
def test_a_broken_map_has_no_finite_score_and_spoils_no_other(rule: ScoreRule, broken: float, count: int) -> None:
    whole = torch.rand(2, 10, generator=torch.Generator().manual_seed(0))
    batch = torch.stack([whole[0], whole[0], whole[1]])
    batch[1, :count] = broken
    found = rule.apply(batch)
    assert not math.isfinite(float(found[1]))
    torch.testing.assert_close(found[[0, 2]], rule.apply(whole), rtol=1e-14, atol=0)


# ------------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_an_image_without_positions_is_refused(rule: ScoreRule) -> None:
    with pytest.raises(ParameterError, match="an image without positions has no score; make its domain larger"):
        rule.apply(torch.zeros(2, 0))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"top_share": None}, "score rule mean_of_top needs top_share"),
        ({"standard_deviation_factor": 1.0}, "mean_of_top has no standard_deviation_factor"),
        ({"kind": "standard_deviation"}, "score rule standard_deviation needs standard_deviation_factor"),
        ({"kind": "maximum", "top_share": 0.1}, "score rule maximum has no top_share"),
        ({"kind": "maximum", "standard_deviation_factor": 1.0}, "maximum has no standard_deviation_factor"),
        ({"top_share": 0.1, "standard_deviation_factor": 1.0}, "mean_of_top has no standard_deviation_factor"),
        ({"kind": "standard_deviation", "standard_deviation_factor": 1.0, "top_share": 0.1}, "has no top_share"),
        ({"kind": "median"}, "kind"),
        ({"top_share": 0.0}, "top_share"),
        ({"top_share": 1.1}, "top_share"),
        ({"top_share": math.nan}, "top_share"),
        ({"kind": "standard_deviation", "standard_deviation_factor": -0.1}, "standard_deviation_factor"),
        ({"kind": "standard_deviation", "standard_deviation_factor": math.inf}, "standard_deviation_factor"),
    ],
)
def test_a_rule_that_is_none_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ScoreRule.model_validate(values)


@pytest.mark.parametrize("rule", RULES, ids=str)
def test_a_rule_survives_its_json(rule: ScoreRule) -> None:
    assert ScoreRule.model_validate_json(rule.model_dump_json()) == rule


def test_without_a_word_the_rule_is_that_of_a_model_by_default() -> None:
    assert ScoreRule() == ScoreRule(kind="mean_of_top") == DLModelParam().score_rule == ScoreRule(top_share=0.01)
    assert ScoreRule.model_validate_json("{}") == ScoreRule()


def test_a_rule_as_the_first_bundles_hold_it_is_read() -> None:
    assert ScoreRule.model_validate({"kind": "mean_of_top", "top_share": 0.02}) == ScoreRule(top_share=0.02)
