"""Panels as this project draws them: a title, a sentence that says how to read it, and what is asked of Prometheus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from grafana_foundation_sdk.builders.common import (
    GraphThresholdsStyleConfig,
    ReduceDataOptions,
    StackingConfig,
    VizLegendOptions,
    VizTooltipOptions,
)
from grafana_foundation_sdk.builders.dashboard import FieldColor, ThresholdsConfig
from grafana_foundation_sdk.builders.heatmap import HeatmapColorOptions, YAxisConfig
from grafana_foundation_sdk.builders.heatmap import Panel as Heatmap
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.statetimeline import Panel as StateTimeline
from grafana_foundation_sdk.builders.table import Panel as Table
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphThresholdsStyleMode,
    LegendDisplayMode,
    LegendPlacement,
    SortOrder,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DataSourceRef,
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN, YELLOW, RED = "green", "yellow", "red"
HEIGHT = 8
FULL, HALF, THIRD = 24, 12, 8


@dataclass(frozen=True)
class Query:
    """One expression and what its lines are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True)
class Limit:
    """A line across a graph, and on which side of it values are bad."""

    value: float
    bad: str = "above"


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str,
    limit: Limit | None = None,
    stacked: bool = False,
    least: float | None = 0,
    span: int = HALF,
) -> Timeseries:
    """Draw values over time.

    Args:
        title: what is shown.
        description: how to read it.
        queries: what is asked.
        unit: Grafana's name of the unit, such as `s`.
        limit: a dashed line.
        stacked: whether values add up.
        least: where the axis begins; None: at the least value.
        span: the width, of 24.
    """
    panel = (
        Timeseries()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(30 if stacked else 8)
        .legend(
            VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM).show_legend(True)
        )
        .tooltip(VizTooltipOptions().mode(TooltipDisplayMode.MULTI).sort(SortOrder.DESCENDING))
    )
    if least is not None:
        panel = panel.min(least)
    if stacked:
        panel = panel.stacking(StackingConfig().mode(StackingMode.NORMAL))
    if limit is not None:
        panel = panel.thresholds(_steps(limit)).thresholds_style(
            GraphThresholdsStyleConfig().mode(GraphThresholdsStyleMode.DASHED)
        )
    for number, query in enumerate(queries):
        panel = panel.with_target(_target(query, number))
    return panel


def as_interval(panel: Timeseries) -> Timeseries:
    """Draw lines whose names end in `lower` or `upper` thin and dashed, as the ends of an interval."""
    return panel.override_by_regexp(
        "/ (lower|upper)$/",
        [
            DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [4, 4]}),
            DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        ],
    )


def figure(
    title: str, description: str, query: Query, *, unit: str, limits: Sequence[Limit] = (), span: int = 4
) -> Stat:
    """Show the latest value, large. Of two limits the first one is yellow, the second red; a single one is red."""
    panel = (
        Stat()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .unit(unit)
        .span(span)
        .height(4)
        .graph_mode(BigValueGraphMode.AREA)
        .reduce_options(ReduceDataOptions().calcs(["lastNotNull"]))
        .with_target(_target(query))
    )
    return panel.thresholds(_steps(*limits)) if limits else panel.color_scheme(_fixed("text"))


def heat(title: str, description: str, query: Query, *, unit: str, axis: str, span: int = HALF) -> Heatmap:
    """Draw how many observations fell into each bucket, over time. The query's legend must be `{{le}}`."""
    return (
        Heatmap()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(HEIGHT + 2)
        .calculate(False)
        .color(HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
        .y_axis(YAxisConfig().unit(unit).axis_label(axis))
        .cell_gap(1)
        .with_target(_target(query).format(PromQueryFormat.HEATMAP))
    )


def timeline(title: str, description: str, query: Query, *, span: int = FULL) -> StateTimeline:
    """Draw from when to when each series was there."""
    return (
        StateTimeline()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(HEIGHT)
        .color_scheme(_fixed("blue"))
        .with_target(_target(query))
    )


def table(
    title: str, description: str, query: Query, *, unit: str, columns: Sequence[str], value: str, span: int = FULL
) -> Table:
    """List the latest samples: their labels in `columns`, then their value under the name `value`."""
    order = {name: number for number, name in enumerate([*columns, "Value"])}
    return (
        Table()
        .title(title)
        .description(description)
        .datasource(SOURCE)
        .span(span)
        .height(HEIGHT)
        .with_target(_target(query).instant().format(PromQueryFormat.TABLE))
        .with_transformation(
            DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": [*order]}})
        )
        .with_transformation(
            DataTransformerConfig(id_val="organize", options={"indexByName": order, "renameByName": {"Value": value}})
        )
        .override_by_name(value, [DynamicConfigValue(id_val="unit", value=unit)])
    )


def _target(query: Query, number: int = 0) -> Dataquery:
    target = Dataquery().ref_id(chr(ord("A") + number)).expr(query.expr).datasource(SOURCE)
    return target.legend_format(query.legend) if query.legend else target


def _fixed(color: str) -> FieldColor:
    return FieldColor().mode(FieldColorModeId.FIXED).fixed_color(color)


def _steps(*limits: Limit) -> ThresholdsConfig:
    """Colours from the least value up."""
    colors = [YELLOW, RED][-len(limits) :]
    if limits[0].bad == "above":
        steps = [
            Threshold(color=GREEN),
            *(Threshold(limit.value, color) for limit, color in zip(limits, colors, strict=True)),
        ]
    else:
        falling = sorted(zip(limits, colors, strict=True), key=lambda pair: pair[0].value)
        above = [*(color for _, color in falling[1:]), GREEN]
        steps = [Threshold(color=falling[0][1])]
        steps += [Threshold(limit.value, color) for (limit, _), color in zip(falling, above, strict=True)]
    return ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
