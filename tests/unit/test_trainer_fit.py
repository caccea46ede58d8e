from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from inspector.anomaly.detectors.base import DetectorName
from inspector.anomaly.detectors.padim import PaDiM, fit_padim
from inspector.anomaly.detectors.patchcore import PatchCore, fit_patchcore
from inspector.anomaly.errors import ParameterError
from trainer.fit import DLTrainParam, create_dl_train_param, train_dl_model


def embedded(n: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, 4, 5, 8, generator=torch.Generator().manual_seed(seed))


def ignore(stage: str, done: int, total: int) -> None:
    """Nobody watches."""


def param(detector: DetectorName, **changes: Any) -> DLTrainParam:
    values = {"detector": detector, "neighbourhood": 3, "regularization": 0.2, "coreset": 12, "seed": 5}
    return DLTrainParam.model_validate(values | changes)


def test_the_parameters_decide_what_is_fitted() -> None:
    padim = train_dl_model(embedded(), param("padim"), ignore)
    assert isinstance(padim, PaDiM)
    expected: PaDiM | PatchCore = fit_padim(embedded(), neighbourhood=3, regularization=0.2)
    assert torch.equal(padim.distances(embedded(2, 1)), expected.distances(embedded(2, 1)))

    patchcore = train_dl_model(embedded(), param("patchcore"), ignore)
    assert isinstance(patchcore, PatchCore)
    expected = fit_patchcore(embedded(), coreset=12, seed=5)
    assert torch.equal(patchcore.distances(embedded(2, 1)), expected.distances(embedded(2, 1)))


@pytest.mark.parametrize(
    ("detector", "changes", "is_other"),
    [
        ("padim", {"neighbourhood": 1}, True),
        ("padim", {"regularization": 0.5}, True),
        ("padim", {"seed": 6}, False),
        ("patchcore", {"coreset": 20}, True),
        ("patchcore", {"seed": 6}, True),
    ],
)
def test_each_parameter_has_its_effect(detector: DetectorName, changes: dict[str, Any], *, is_other: bool) -> None:
    one = train_dl_model(embedded(), param(detector), ignore).distances(embedded(2, 1))
    other = train_dl_model(embedded(), param(detector, **changes), ignore).distances(embedded(2, 1))
    assert torch.equal(one, other) != is_other


@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_the_same_seed_gives_the_same_detector_bit_by_bit(detector: DetectorName) -> None:
    first, again = (train_dl_model(embedded(), param(detector), ignore).tensors() for _ in range(2))
    assert first.keys() == again.keys()
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize("detector", ["padim", "patchcore"])
def test_a_fit_tells_how_far_it_is_under_the_name_it_is_given(detector: DetectorName) -> None:
    told: list[tuple[str, int, int]] = []
    train_dl_model(embedded(), param(detector), lambda *progress: told.append(progress), stage="fold 1")
    assert told
    assert {stage for stage, _, _ in told} == {"fold 1"}
    assert all(0 <= done <= total for _, done, total in told)


def test_the_embeddings_are_left_alone() -> None:
    images = embedded()
    for detector in ("padim", "patchcore"):
        train_dl_model(images, param(detector), ignore)
    assert torch.equal(images, embedded())


def test_what_is_not_given_takes_the_documented_default() -> None:
    created = create_dl_train_param()
    assert created == DLTrainParam(detector=created.detector)
    assert create_dl_train_param("patchcore", coreset=7, seed=3) == DLTrainParam(
        detector="patchcore", coreset=7, seed=3
    )
    assert create_dl_train_param("patchcore").coreset == DLTrainParam(detector="patchcore").coreset
    assert created.rule.top_share == created.top_share


def test_parameters_survive_the_bundles_record() -> None:
    created = create_dl_train_param("patchcore", coreset=7, seed=3)
    assert DLTrainParam.model_validate_json(created.model_dump_json()) == created


@pytest.mark.parametrize(
    "changes",
    [
        {"detector": "magic"},
        {"backbone": "resnet"},
        {"embedding_dims": 0},
        {"top_share": 0.0},
        {"top_share": 1.1},
        {"neighbourhood": 0},
        {"regularization": 0.0},
        {"regularization": float("nan")},
        {"coreset": 0},
        {"surprise": 1},
    ],
    ids=str,
)
def test_parameters_out_of_range_are_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))):
        DLTrainParam.model_validate({"detector": "padim"} | changes)


def test_an_even_neighbourhood_is_refused_before_anything_is_computed() -> None:
    with pytest.raises(ParameterError, match="an odd neighbourhood"):
        train_dl_model(embedded(), param("padim", neighbourhood=2), ignore)
