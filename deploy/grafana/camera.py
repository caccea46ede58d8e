"""One camera: its scores against the threshold, its latency, and why frames were not judged."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.board import board, choice
from deploy.grafana.panels import FULL, Limit, Query, as_interval, figure, heat, lines

CAMERA = 'job=~"$job", camera="$camera"'
SCORES = f"inspector_anomaly_score_ratio_bucket{{{CAMERA}}}"
LATENCY = f"inspector_capture_to_result_seconds_bucket{{{CAMERA}}}"
OFFSET = f"inspector_clock_offset_seconds_bucket{{{CAMERA}}}"
BUDGET = f"max(inspector_budget_seconds{{{CAMERA}}})"
PERCENTILES = (("0.5", "median"), ("0.95", "95 %"), ("0.99", "99 %"))


def camera() -> Dashboard:
    """Return the dashboard for whoever looks after one camera."""
    dashboard = board(
        "camera",
        "Inspector: camera",
        "For whoever looks after a camera: how its scores compare with the threshold, how long verdicts take, and why frames were not judged.",
    ).with_variable(
        choice(
            "camera",
            "Camera",
            'label_values(inspector_frames_total{job=~"$job", camera!="other"}, camera)',
            multi=False,
        )
    )
    return _clock(_latency(_scores(_figures(dashboard))))


def _quantiles(buckets: str) -> list[Query]:
    return [
        Query(f"histogram_quantile({share}, sum by (le) (rate({buckets}[$__rate_interval])))", name)
        for share, name in PERCENTILES
    ]


def _figures(dashboard: Dashboard) -> Dashboard:
    verdicts = Query(f"sum(job_camera:inspector_frames:rate1m{{{CAMERA}}})")
    rejected = Query(f"max(job_camera:inspector_reject_ratio:mean15m{{{CAMERA}}})")
    on_time = Query(f"1 - max(job_camera:inspector_late_answers:ratio_rate5m{{{CAMERA}}})")
    slowest = Query(f"histogram_quantile(0.99, sum by (le) (rate({LATENCY}[5m])))")
    threshold = Query(f"max(inspector_classification_threshold_ratio{{{CAMERA}}})")
    return (
        dashboard.with_panel(figure("Verdicts", "Acknowledged verdicts per second.", verdicts, unit="short"))
        .with_panel(
            figure(
                "Reject rate",
                "Share of the frames judged in the last 15 minutes that was rejected.",
                rejected,
                unit="percentunit",
            )
        )
        .with_panel(
            figure(
                "On time",
                "Share of the verdicts of the last five minutes that came before their frame's deadline.",
                on_time,
                unit="percentunit",
                limits=[Limit(0.999, "below"), Limit(0.99, "below")],
            )
        )
        .with_panel(
            figure(
                "99 % within",
                "99 % of the verdicts of the last five minutes took no longer than this, from capture to acknowledgement.",
                slowest,
                unit="s",
            )
        )
        .with_panel(figure("Budget", "How long after its capture a verdict must be there.", Query(BUDGET), unit="s"))
        .with_panel(figure("Threshold", "The anomaly score from which on a frame is nok.", threshold, unit="none"))
    )


def _scores(dashboard: Dashboard) -> Dashboard:
    interval = lines(
        "Reject rate",
        "Share of the judged frames that was rejected: in the last 15 minutes, with its 95 % interval (Wilson), and in the last six hours.",
        *(
            Query(f"max(job_camera:inspector_reject_ratio:{end}15m{{{CAMERA}}})", name)
            for end, name in (("mean", "15 minutes"), ("lower", "15 minutes lower"), ("upper", "15 minutes upper"))
        ),
        Query(f"max(job_camera:inspector_reject_ratio:mean6h{{{CAMERA}}})", "6 hours"),
        unit="percentunit",
    )
    return (
        dashboard.with_row(Row("Scores"))
        .with_panel(
            heat(
                "Scores against the threshold",
                "How many frames had which score, as a multiple of the threshold: from 1 on a frame is nok. A second cloud above 1 is a defect; "
                "the whole cloud on its way up is light, focus or position.",
                Query(f"sum by (le) (increase({SCORES}[$__rate_interval]))", "{{le}}"),
                unit="none",
                axis="score / threshold",
                span=FULL,
            )
        )
        .with_panel(
            lines(
                "Where scores lie",
                "Percentiles of scores as a multiple of the threshold, which is the dashed line. A median above 0.8 is a drift of ok parts.",
                *_quantiles(SCORES),
                unit="none",
                limit=Limit(1),
            )
        )
        .with_panel(as_interval(interval))
    )


def _latency(dashboard: Dashboard) -> Dashboard:
    spent, times = (
        f'sum by (stage) (rate(inspector_stage_seconds_{part}{{job=~"$job"}}[$__rate_interval]))'
        for part in ("sum", "count")
    )
    return (
        dashboard.with_row(Row("Latency"))
        .with_panel(
            lines(
                "Capture to result",
                "From the capture time to the broker's acknowledgement of the verdict, and the budget. It compares the clocks of two hosts.",
                *_quantiles(LATENCY),
                Query(BUDGET, "budget"),
                unit="s",
            )
        )
        .with_panel(
            lines(
                "Time by stage",
                "Mean time of a frame in each stage, stacked. For all cameras together, because they share the stages.",
                Query(f"{spent} / ({times} > 0)", "{{stage}}"),
                unit="s",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Reasons",
                "Frames per minute that were rejected without being judged, by reason. The graph is empty if there are none.",
                Query(
                    f'60 * sum by (status, reason) (rate(inspector_frames_total{{{CAMERA}, status!="inspected"}}[$__rate_interval])) > 0',
                    "{{status}}: {{reason}}",
                ),
                unit="short",
                stacked=True,
            )
        )
        .with_panel(
            lines(
                "Verdicts by when they came",
                "Verdicts per second: in time, late, replaced by a newer frame, or of unknown age.",
                Query(f"sum by (timing) (rate(inspector_answers_total{{{CAMERA}}}[$__rate_interval]))", "{{timing}}"),
                unit="short",
                stacked=True,
            )
        )
    )


def _clock(dashboard: Dashboard) -> Dashboard:
    return (
        dashboard.with_row(Row("Clock and pictures"))
        .with_panel(
            lines(
                "Age of frames when read",
                "Our clock minus the capture stamp. Below zero the camera's clock is ahead; a constant age is a clock that is behind, one that "
                "wanders is a slow way.",
                *_quantiles(OFFSET),
                Query(f"max(inspector_camera_clock_ahead_alarm{{{CAMERA}}})", "clock ahead (1: alarm)"),
                unit="s",
                least=None,
            )
        )
        .with_panel(
            lines(
                "Slow decodings and foreign results",
                "In a minute: frames that took longer to decode than limits.slow_decoding_ms, and verdicts on this camera that another "
                "deployment wrote. Both should be zero.",
                Query(
                    f"60 * sum(rate(inspector_slow_decodings_total{{{CAMERA}}}[$__rate_interval]))", "slow decodings"
                ),
                Query(
                    f"60 * sum(rate(inspector_foreign_results_total{{{CAMERA}}}[$__rate_interval]))", "foreign results"
                ),
                unit="short",
            )
        )
    )
