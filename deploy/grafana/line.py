"""The line overview: is every camera judged, in time, and how much is rejected."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.board import board, choice
from deploy.grafana.panels import Limit, Query, as_interval, figure, lines

CAMERAS = 'job=~"$job", camera=~"$line/.*"'
OBJECTIVE = 0.999


def line_overview() -> Dashboard:
    """Return the dashboard for whoever runs the line."""
    dashboard = board(
        "line",
        "Inspector: line overview",
        "For whoever runs the line: is every camera judged, in time, and how many parts are rejected?",
    ).with_variable(
        choice(
            "line",
            "Line",
            'label_values(inspector_frames_total{job=~"$job", camera!="other"}, camera)',
            regex="/(.*)\\/.*/",
        )
    )
    return _waiting(_on_time(_rejects(_verdicts(_figures(dashboard)))))


def _figures(dashboard: Dashboard) -> Dashboard:
    rejected = f"sum(job_camera:inspector_rejected_frames:increase15m{{{CAMERAS}}})"
    inspected = f"sum(job_camera:inspector_inspected_frames:increase15m{{{CAMERAS}}})"
    answers = f"inspector_answers_total{{{CAMERAS}, timing"
    return (
        dashboard.with_panel(
            figure(
                "Alerts",
                "Alerts that are firing now.",
                Query('count(ALERTS{alertstate="firing", job=~"$job"}) or vector(0)'),
                unit="short",
                limits=[Limit(1)],
            )
        )
        .with_panel(
            figure(
                "Ready",
                "Share of the inspector processes that read all the frames that they should.",
                Query('avg(inspector_ready{job=~"$job"})'),
                unit="percentunit",
                limits=[Limit(1, "below")],
            )
        )
        .with_panel(
            figure(
                "Verdicts",
                "Acknowledged verdicts per second.",
                Query(f"sum(job_camera:inspector_frames:rate1m{{{CAMERAS}}})"),
                unit="short",
            )
        )
        .with_panel(
            figure(
                "Reject rate",
                "Share of the frames judged in the last 15 minutes that was rejected: their score reached the threshold.",
                Query(f"{rejected} / ({inspected} > 0)"),
                unit="percentunit",
            )
        )
        .with_panel(
            figure(
                "On time",
                "Share of the verdicts of the last five minutes that came before their frame's deadline.",
                Query(f'sum(rate({answers}="on_time"}}[5m])) / (sum(rate({answers}=~"on_time|late"}}[5m])) > 0)'),
                unit="percentunit",
                limits=[Limit(OBJECTIVE, "below"), Limit(0.99, "below")],
            )
        )
        .with_panel(
            figure(
                "Unread",
                "How many seconds of work the frames that wait in the broker are, at the present pace.",
                Query('max(job:inspector_unread_seconds:rate1m{job=~"$job"})'),
                unit="s",
                limits=[Limit(1), Limit(5)],
            )
        )
    )


def _verdicts(dashboard: Dashboard) -> Dashboard:
    return (
        dashboard.with_row(Row("Verdicts"))
        .with_panel(
            lines(
                "Verdicts by camera",
                "Acknowledged verdicts per second. A camera is silent if it is at zero while others of its line are not.",
                Query(f"job_camera:inspector_frames:rate1m{{{CAMERAS}}}", "{{camera}}"),
                unit="short",
            )
        )
        .with_panel(
            lines(
                "Rejected by camera",
                "Verdicts nok per minute, for any reason: these parts an actuator throws out.",
                Query(
                    f'60 * sum by (camera) (rate(inspector_verdicts_total{{{CAMERAS}, anomaly_class="nok"}}[$__rate_interval]))',
                    "{{camera}}",
                ),
                unit="short",
            )
        )
    )


def _rejects(dashboard: Dashboard) -> Dashboard:
    queries = [
        Query(f"job_camera:inspector_reject_ratio:{end}15m{{{CAMERAS}}}", "{{camera}}" + suffix)
        for end, suffix in (("mean", ""), ("lower", " lower"), ("upper", " upper"))
    ]
    rate = lines(
        "Reject rate",
        "Share of the frames judged in the last 15 minutes that was rejected, with its 95 % interval (Wilson). Two cameras really differ "
        "if their intervals do not overlap.",
        *queries,
        unit="percentunit",
    )
    judged = lines(
        "Judged and not judged",
        "Frames per second by status. Only `inspected` ones were judged by a model; all others are nok for another reason.",
        Query(f"sum by (status) (rate(inspector_frames_total{{{CAMERAS}}}[$__rate_interval]))", "{{status}}"),
        unit="short",
        stacked=True,
    )
    return dashboard.with_panel(as_interval(rate)).with_panel(judged)


def _on_time(dashboard: Dashboard) -> Dashboard:
    late = "job_camera:inspector_late_answers:ratio_rate"
    return (
        dashboard.with_row(Row("On time"))
        .with_panel(
            lines(
                "On-time share of five minutes",
                "Verdicts that came before their frame's deadline. The dashed line is the objective.",
                Query(f"1 - {late}5m{{{CAMERAS}}}", "{{camera}}"),
                unit="percentunit",
                limit=Limit(OBJECTIVE, "below"),
                least=None,
            )
        )
        .with_panel(
            lines(
                "Burn rate",
                "How many times faster than allowed the lateness is used up, over one hour and over six. At 1 it lasts exactly 30 days; the fast alert "
                "fires at 14.4 and 6.",
                Query(f"{late}1h{{{CAMERAS}}} / (1 - {OBJECTIVE})", "{{camera}} 1 h"),
                Query(f"{late}6h{{{CAMERAS}}} / (1 - {OBJECTIVE})", "{{camera}} 6 h"),
                unit="short",
                limit=Limit(1),
            )
        )
    )


def _waiting(dashboard: Dashboard) -> Dashboard:
    return (
        dashboard.with_row(Row("Waiting in the broker"))
        .with_panel(
            lines(
                "Unread frames by partition",
                "Frames in the broker that no inspector has read.",
                Query('sum by (partition) (inspector_read_lag_frames{job=~"$job"} >= 0)', "partition {{partition}}"),
                unit="short",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Unread, in seconds",
                "How long the unread frames will take at the pace of the last minute. Above the dashed line, and if it grows, there is an alert.",
                Query('job:inspector_unread_seconds:rate1m{job=~"$job"}', "{{job}}"),
                unit="s",
                limit=Limit(5),
            )
        )
    )
