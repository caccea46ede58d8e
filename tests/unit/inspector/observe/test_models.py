"""What judges each camera, as metrics show it: one model a camera, and since when."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from inspector.observe.models import Judge, ModelMetrics

FIRST = Judge("cookie", "1", "aa", classification_threshold=0.4, budget_s=0.5)
SECOND = Judge("cookie", "2", "bb", classification_threshold=0.6, budget_s=0.5)


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def models(registry: CollectorRegistry) -> ModelMetrics:
    return ModelMetrics(registry)


def in_use(registry: CollectorRegistry, camera: str, judge: Judge) -> float | None:
    labels = {"camera": camera, "model": judge.model, "version": judge.version, "digest": judge.digest}
    return registry.get_sample_value("inspector_model_in_use", labels)


def value(registry: CollectorRegistry, name: str, camera: str) -> float | None:
    return registry.get_sample_value(f"inspector_{name}", {"camera": camera})


def test_a_new_model_takes_the_place_of_the_old_one(models: ModelMetrics, registry: CollectorRegistry) -> None:
    models.show("L1/C1", FIRST, 100.0)
    models.show("L1/C2", FIRST, 100.0)
    models.show("L1/C1", SECOND, 160.0)
    assert in_use(registry, "L1/C1", FIRST) is None
    assert in_use(registry, "L1/C1", SECOND) == 1
    assert in_use(registry, "L1/C2", FIRST) == 1
    assert value(registry, "model_since_timestamp_seconds", "L1/C1") == 160
    assert value(registry, "model_since_timestamp_seconds", "L1/C2") == 100
    assert value(registry, "classification_threshold_ratio", "L1/C1") == 0.6
    assert value(registry, "classification_threshold_ratio", "L1/C2") == 0.4


def test_a_model_that_is_shown_again_has_judged_since_it_came(
    models: ModelMetrics, registry: CollectorRegistry
) -> None:
    models.show("L1/C1", FIRST, 100.0)
    models.show("L1/C1", FIRST, 160.0)
    assert value(registry, "model_since_timestamp_seconds", "L1/C1") == 100
    assert in_use(registry, "L1/C1", FIRST) == 1


def test_another_threshold_or_budget_is_no_other_model(models: ModelMetrics, registry: CollectorRegistry) -> None:
    models.show("L1/C1", FIRST, 100.0)
    models.show("L1/C1", FIRST._replace(classification_threshold=0.7, budget_s=0.2), 160.0)
    assert value(registry, "classification_threshold_ratio", "L1/C1") == 0.7
    assert value(registry, "budget_seconds", "L1/C1") == 0.2
    assert value(registry, "model_since_timestamp_seconds", "L1/C1") == 100
