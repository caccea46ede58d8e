"""The frame of a dashboard: its name, what may be chosen above it, and the alerts as marks on every graph."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import (
    AnnotationQuery,
    Dashboard,
    DashboardLink,
    DatasourceVariable,
    QueryVariable,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

from deploy.grafana.panels import RED, SOURCE

TAG = "line-inspector"


def board(name: str, title: str, description: str) -> Dashboard:
    """Begin a dashboard.

    Args:
        name: of its file and, with `inspector-` before it, of its address.
        title: at its head.
        description: whom it serves and with what.
    """
    return (
        Dashboard(title)
        .uid(f"inspector-{name}")
        .description(description)
        .tags([TAG])
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .refresh("10s")
        .time("now-1h", "now")
        .timezone("browser")
        .link(
            DashboardLink("Inspector").type(DashboardLinkType.DASHBOARDS).tags([TAG]).as_dropdown(False).keep_time(True)
        )
        .annotation(
            AnnotationQuery()
            .name("Alerts")
            .datasource(SOURCE)
            .enable(True)
            .icon_color(RED)
            .expr('ALERTS{alertstate="firing", job=~"$job"}')
        )
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
        .with_variable(choice("job", "Deployment", "label_values(inspector_ready, job)"))
    )


def choice(name: str, label: str, query: str, *, regex: str = "", multi: bool = True) -> QueryVariable:
    """Offer the values of a label; all of them where several may be chosen."""
    variable = (
        QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(multi)
        .include_all(multi)
    )
    if regex:
        variable = variable.regex(regex)
    return variable.current(VariableOption(selected=True, text="All", value="$__all")) if multi else variable
