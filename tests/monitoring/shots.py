"""What Prometheus answers to each panel of each dashboard."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from deploy.local.prometheus import Prometheus, Series
from tests.monitoring.panels import NAMES, Panel, Target, document, panels
from tests.monitoring.rules import PACE_S

VARIABLES = {
    "line": {"line": "line"},
    "camera": {"camera": "line/right"},
    "service": {"instance": ".*"},
    "models": {"camera": ".*"},
}
"""What is chosen above each dashboard."""


@dataclass(frozen=True)
class Answer:
    """One query of a panel and its series, those without a number left out."""

    target: Target
    series: list[Series]

    def name(self, series: Series) -> str:
        """Return what a line is called: the legend with the labels' values filled in."""
        return re.sub(r"{{(\w+)}}", lambda found: series.labels.get(found[1], ""), self.target.legend)


@dataclass(frozen=True)
class Shot:
    """A panel and all its answers."""

    panel: Panel
    answers: list[Answer]


def take_shots(prometheus: Prometheus, begin_s: float, end_s: float, **chosen: str) -> dict[str, list[Shot]]:
    """Ask every query of every panel, from `begin_s` to `end_s` (seconds since 1970), once a scrape.

    Args:
        prometheus: that is asked.
        begin_s: of what is drawn.
        end_s: of it.
        chosen: what is chosen above the dashboards, where that is not as in `VARIABLES`: `line`, `camera` of its own dashboard.
    """
    return {
        name: [
            Shot(panel, [_answer(prometheus, target, begin_s, end_s) for target in panel.targets])
            for panel in panels(name, **VARIABLES[name] | {key: chosen[key] for key in chosen if key == name})
        ]
        for name in NAMES
    }


def _answer(prometheus: Prometheus, target: Target, begin_s: float, end_s: float) -> Answer:
    found = prometheus.query_range(target.expr, begin_s=begin_s, end_s=end_s, step_s=PACE_S)
    return Answer(target, [one for one in found if any(math.isfinite(value) for _, value in one.points)])


def choices(name: str) -> list[tuple[str, str]]:
    """Return of each variable of a dashboard the series that it asks for, and the label whose values it offers."""
    asked = [variable["query"] for variable in document(name)["templating"]["list"] if variable["type"] == "query"]
    found = [re.fullmatch(r"label_values\((.*), (\w+)\)", query) for query in asked]
    return [(one[1].replace("$job", ".*"), one[2]) for one in found if one is not None]
