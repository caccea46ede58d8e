"""The panels of the generated dashboards, with values in the place of Grafana's variables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.monitoring.rules import PACE_S

DASHBOARDS = Path(__file__).parents[2] / "deploy" / "grafana" / "dashboards"
RATE_INTERVAL = f"{8 * PACE_S}s"
"""What Grafana makes of a scrape interval is four times as long; twice that, where some scrapes may be missed."""
NAMES = ("line", "camera", "service", "models")


@dataclass(frozen=True)
class Target:
    """One query of a panel."""

    expr: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """What a picture of a panel needs to know of it.

    Attributes:
        kind: Grafana's name of the type, such as `timeseries`.
        unit: Grafana's name of the unit.
        limits: where a graph has a dashed line.
        x: its left edge, of 24 columns, as `width`.
    """

    title: str
    kind: str
    unit: str
    targets: tuple[Target, ...]
    limits: tuple[float, ...]
    stacked: bool
    x: int
    y: int
    width: int
    height: int


def document(name: str) -> dict[str, Any]:
    """Return a dashboard as Grafana reads it."""
    found: dict[str, Any] = json.loads((DASHBOARDS / f"{name}.json").read_text(encoding="utf-8"))
    return found


def panels(name: str, **variables: str) -> list[Panel]:
    """Return the panels of a dashboard, `$name` replaced by the variable of that name; rows are left out."""
    values = {"__rate_interval": RATE_INTERVAL, "job": ".*", **variables}
    return [_panel(panel, values) for panel in document(name)["panels"] if panel["type"] != "row"]


def filled(expr: str, values: dict[str, str]) -> str:
    """Return an expression with values in the place of its variables.

    Raises:
        ValueError: One is left.
    """
    for name, value in values.items():
        expr = expr.replace(f"${name}", value)
    if "$" in expr:
        raise ValueError(f"no value for a variable in {expr}")
    return expr


def _panel(panel: dict[str, Any], values: dict[str, str]) -> Panel:
    field = panel.get("fieldConfig", {})
    defaults = field.get("defaults", {})
    custom = defaults.get("custom", {})
    steps = defaults.get("thresholds", {}).get("steps", []) if "thresholdsStyle" in custom else []
    place = panel["gridPos"]
    return Panel(
        title=panel["title"],
        kind=panel["type"],
        unit=defaults.get("unit", "") or next((_unit(one) for one in field.get("overrides", [])), ""),
        targets=tuple(
            Target(filled(target["expr"], values), target.get("legendFormat", "")) for target in panel["targets"]
        ),
        limits=tuple(step["value"] for step in steps if step["value"] is not None),
        stacked=custom.get("stacking", {}).get("mode") == "normal",
        x=place["x"],
        y=place["y"],
        width=place["w"],
        height=place["h"],
    )


def _unit(override: dict[str, Any]) -> str:
    return next((str(one["value"]) for one in override["properties"] if one["id"] == "unit"), "")
