from __future__ import annotations

from prometheus_client import CollectorRegistry

from inspector.observe.shadow import ShadowMetrics
from schemas import ModelReference


def model(letter: str) -> ModelReference:
    return ModelReference(name="m", version="1", digest=letter * 64)


def test_a_camera_has_one_model_on_trial_or_no_series() -> None:
    registry = CollectorRegistry()
    metrics = ShadowMetrics(registry, ["line/a"])

    def shown() -> set[str]:
        return {
            sample.labels["digest"][0]
            for family in registry.collect()
            if family.name == "inspector_shadow_in_use"
            for sample in family.samples
        }

    assert shown() == set()
    assert registry.get_sample_value("inspector_shadow_shed_total", {"camera": "line/a"}) == 0, "there from the start"
    metrics.show("line/a", model("b"))
    metrics.show("line/a", model("b"))
    assert shown() == {"b"}
    metrics.show("line/a", model("c"))
    assert shown() == {"c"}
    metrics.show("line/a", None)
    assert shown() == set()
