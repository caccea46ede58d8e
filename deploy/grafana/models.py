"""The models: which version judges what, since when, and what it changed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.board import board, choice
from deploy.grafana.panels import FULL, HALF, Limit, Query, lines, table, timeline

CAMERAS = 'job=~"$job", camera=~"$camera"'


def models() -> Dashboard:
    """Return the dashboard for whoever trains and releases models."""
    dashboard = board(
        "models",
        "Inspector: models",
        "For whoever trains and releases models: which version judges what, since when, and what it changed.",
    ).with_variable(
        choice("camera", "Camera", 'label_values(inspector_frames_total{job=~"$job", camera!="other"}, camera)')
    )
    return _trials(_effects(_judges(dashboard)))


def _judges(dashboard: Dashboard) -> Dashboard:
    # The value is the time, in Grafana's milliseconds; the labels are the model's.
    since = f"1000 * inspector_model_in_use{{{CAMERAS}}} * on (job, instance, camera) group_left inspector_model_since_timestamp_seconds"
    return (
        dashboard.with_row(Row("What judges"))
        .with_panel(
            table(
                "What judges each camera",
                "The model that judges each camera in each process, and since when.",
                Query(since),
                unit="dateTimeAsIso",
                columns=["camera", "model", "version", "digest", "instance"],
                value="since",
            )
        )
        .with_panel(
            timeline(
                "Versions over time",
                "The time during which each version judged a camera, in any process.",
                Query(f"count by (camera, version) (inspector_model_in_use{{{CAMERAS}}})", "{{camera}}: {{version}}"),
                span=FULL,
            )
        )
        .with_panel(
            lines(
                "Different models of a camera",
                "How many bundles judge a camera at the same time in different processes. More than one, for longer than a rollout takes, raises an alert.",
                Query(f"job_camera:inspector_models:count{{{CAMERAS}}}", "{{camera}}"),
                unit="short",
                limit=Limit(2),
            )
        )
        .with_panel(
            lines(
                "Thresholds",
                "The anomaly score from which on a frame is nok, from the model or from the settings. Two lines for one camera: processes have different thresholds.",
                Query(f"inspector_classification_threshold_ratio{{{CAMERAS}}}", "{{camera}} {{instance}}"),
                unit="none",
            )
        )
    )


def _effects(dashboard: Dashboard) -> Dashboard:
    buckets = f"sum by (camera, le) (rate(inspector_anomaly_score_ratio_bucket{{{CAMERAS}}}[$__rate_interval]))"
    return (
        dashboard.with_row(Row("What it changed"))
        .with_panel(
            lines(
                "Median score",
                "Median score as a multiple of the threshold (dashed line). With a new model, ok parts should stay about where they were.",
                Query(f"histogram_quantile(0.5, {buckets})", "{{camera}}"),
                unit="none",
                limit=Limit(1),
            )
        )
        .with_panel(
            lines(
                "Reject rate",
                "Share of the frames judged in the last 15 minutes that was rejected.",
                Query(f"job_camera:inspector_reject_ratio:mean15m{{{CAMERAS}}}", "{{camera}}"),
                unit="percentunit",
            )
        )
        .with_panel(
            table(
                "What runs where",
                "Version of the inspector, and the device that it scores on.",
                Query('inspector_build_info{job=~"$job"}'),
                unit="none",
                columns=["instance", "version", "device", "python"],
                value="runs",
                span=HALF,
            )
        )
        .with_panel(
            lines(
                "Heartbeats",
                "Verdicts per second on the models' own pictures, if the settings ask for them. Only `inspected` should be above zero.",
                Query(
                    'sum by (status) (rate(inspector_heartbeats_total{job=~"$job"}[$__rate_interval]))', "{{status}}"
                ),
                unit="short",
            )
        )
    )


def _trials(dashboard: Dashboard) -> Dashboard:
    rates = [
        (name, f"sum by (camera) (rate(inspector_shadow_{name}_total{{{CAMERAS}}}[$__rate_interval]))")
        for name in ("scored", "shed", "failed")
    ]
    return dashboard.with_row(Row("In the shadow")).with_panel(
        lines(
            "Frames of models on trial",
            "Frames per second that a model on trial has scored, did not get because the line needed the device, or could not score.",
            *(Query(rate, f"{{{{camera}}}} {name}") for name, rate in rates),
            unit="short",
            span=FULL,
        )
    )
