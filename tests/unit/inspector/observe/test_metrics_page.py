"""The page of metrics as Prometheus reads it: what promtool checks, and the table in docs/metrics.md that tells what each is for."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from inspector.observe.metrics import Metrics
from inspector.observe.models import Judge
from inspector.observe.shadow import ShadowMetrics
from inspector.swap.metrics import ReleaseMetrics
from inspector.tracing.counts import TraceCounts
from schemas import ModelReference
from tests.prometheus import required_program

DOCS = Path(__file__).parents[4] / "docs" / "metrics.md"
NO_BASE_UNITS = "minutes|hours|days|weeks|milliseconds|microseconds|nanoseconds|ms|us|ns|kilobytes|megabytes|mib|kib|bits|percent|milli|kilo|mega"


@pytest.fixture
def registry() -> CollectorRegistry:
    """Of a process that has been assigned a partition and scored a batch."""
    registry = CollectorRegistry()
    metrics = Metrics(registry, ["L1/C1"])
    TraceCounts(registry)
    ProcessCollector(registry=registry)
    metrics.build(version="1", python="3", device="cpu")
    ReleaseMetrics(registry, ["L1/C1"])
    ShadowMetrics(registry, ["L1/C1"]).show("L1/C1", ModelReference(name="m", version="2", digest="b" * 64))
    metrics.assigned([0])
    metrics.queue_depths(batch=1)
    metrics.capacity("L1/C1", 10.0)
    metrics.models.show("L1/C1", Judge("m", "1", "aa", classification_threshold=0.5, budget_s=0.5), 1e9)
    metrics.verdict("L1/C1", "ok", 0.4)
    return registry


def shown(family: Metric) -> str:
    """The name that is asked for."""
    return family.name + {"counter": "_total", "info": "_info"}.get(family.type, "")


def labels(family: Metric) -> set[str]:
    return {label for sample in family.samples for label in sample.labels} - {"le"}


def test_the_table_names_every_metric_with_its_labels_and_an_alert_and_no_other(registry: CollectorRegistry) -> None:
    rows = [
        [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        for line in DOCS.read_text().splitlines()
        if line.startswith("| `")
    ]
    table = {row[0].strip("`"): {label for label in row[1].split(", ") if label} for row in rows}
    assert len(table) == len(rows), "a metric stands there twice"
    assert table == {shown(family): labels(family) for family in registry.collect()}
    assert all(len(row) == 4 and row[2] and row[3] for row in rows)
    named = {name for row in rows for name in re.findall(r"(?:inspector|process)_[a-z_]+", row[3])}
    assert {re.sub("_bucket$", "", name) for name in named} <= table.keys(), "an alert asks for what is not there"


@pytest.mark.parametrize(
    ("generate", "parse"),
    [(generate_latest, parse_text), (generate_openmetrics, parse_openmetrics)],
    ids=["text", "openmetrics"],
)
def test_the_page_is_as_promtool_wants_it(
    registry: CollectorRegistry, generate: Callable[..., bytes], parse: Callable[..., list[Metric]]
) -> None:
    page = generate(registry).decode()
    if (
        parse is parse_openmetrics
    ):  # with buckets below zero there may be no sum, and then this parser of Python's wants no count either
        page = re.sub("(?m)^inspector_clock_offset_seconds_count.*\n", "", page)
    families = list(parse(page))
    assert len(families) >= 30
    for family in families:
        name = family.name
        assert family.documentation, f"{name} has no HELP"
        assert family.type in {"counter", "gauge", "histogram", "info"}, f"{name} has no TYPE"
        assert re.fullmatch("[a-z][a-z0-9_]*", name), name
        assert not re.search(f"(^|_)({NO_BASE_UNITS})(_|$)", name), f"{name} has no base unit"
        assert not re.search("_(counter|gauge|histogram|summary)(_|$)", name), f"{name} tells its type"
        assert family.type == "histogram" or not name.endswith(("_count", "_sum", "_bucket")), name
        assert family.type == "counter" or not name.endswith("_total"), name
        for sample in family.samples:
            assert all(re.fullmatch("[a-z][a-z0-9_]*", label) for label in sample.labels)
            if family.type == "counter":
                assert sample.name.endswith(("_total", "_created")), sample.name
        if family.type == "histogram":
            assert any(sample.labels.get("le") == "+Inf" for sample in family.samples), name


def test_promtool_has_nothing_to_say(registry: CollectorRegistry) -> None:
    promtool = required_program("promtool")
    page = generate_latest(registry)
    checked = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")
