"""The service: how near each process is to what it can do, and what goes wrong inside."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from deploy.grafana.board import board, choice
from deploy.grafana.panels import THIRD, Limit, Query, figure, heat, lines

PROCESS = 'job=~"$job", instance=~"$instance"'


def service() -> Dashboard:
    """Return the dashboard for whoever operates the inspectors."""
    dashboard = board(
        "service",
        "Inspector: service",
        "For whoever operates the inspectors: capacity, batches, queues, memory, the broker, restarts.",
    ).with_variable(choice("instance", "Process", 'label_values(inspector_ready{job=~"$job"}, instance)'))
    return _broker(_memory(_queues(_load(_figures(dashboard)))))


def _gauge(name: str, by: str = "instance") -> str:
    return f"sum by ({by}) ({name}{{{PROCESS}}})"


def _rate(name: str, by: str = "instance") -> str:
    return f"sum by ({by}) (rate({name}{{{PROCESS}}}[$__rate_interval]))"


def _figures(dashboard: Dashboard) -> Dashboard:
    partitions = Query(f"sum(inspector_assigned_partitions{{{PROCESS}}})")
    starts = Query(f"sum(instance:inspector_starts:changes1h{{{PROCESS}}})")
    rebalances = Query(f"max(round(increase(inspector_rebalances_total{{{PROCESS}}}[1h])))")
    memory = Query(f"max(instance:inspector_memory_bound:ratio{{{PROCESS}}})")
    late = Query(f"max(inspector_event_loop_lag_seconds{{{PROCESS}}})")
    return (
        dashboard.with_panel(
            figure(
                "Ready",
                "Number of processes that read all the frames that they should.",
                Query(f"sum(inspector_ready{{{PROCESS}}})"),
                unit="short",
                limits=[Limit(1, "below")],
            )
        )
        .with_panel(figure("Partitions", "Partitions of the frames topic that are read.", partitions, unit="short"))
        .with_panel(
            figure("Starts again", "Restarts within the last hour.", starts, unit="short", limits=[Limit(1), Limit(3)])
        )
        .with_panel(
            figure(
                "Rebalances",
                "Rebalances within the last hour, for the process with the most.",
                rebalances,
                unit="short",
                limits=[Limit(6)],
            )
        )
        .with_panel(
            figure(
                "Memory of its bound",
                "How much of the growth that the settings allow has been used.",
                memory,
                unit="percentunit",
                limits=[Limit(0.7), Limit(0.9)],
            )
        )
        .with_panel(
            figure(
                "Event loop late",
                "How late the event loop was at its last beat; it beats four times a second.",
                late,
                unit="s",
                limits=[Limit(0.2), Limit(1)],
            )
        )
    )


def _load(dashboard: Dashboard) -> Dashboard:
    on = "on (job, instance, camera)"
    inspected = f'sum by (job, instance, camera) (rate(inspector_frames_total{{{PROCESS}, status="inspected"}}[$__rate_interval]))'
    return (
        dashboard.with_row(Row("Capacity"))
        .with_panel(
            lines(
                "Load against capacity",
                "The share of the device's time that the inspected frames take. At 1 the device is busy all the time.",
                Query(
                    f"sum by (instance) ({inspected} / {on} (inspector_capacity_frames_per_second{{{PROCESS}}} > 0))",
                    "{{instance}}",
                ),
                unit="percentunit",
                limit=Limit(1),
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Capacity by camera",
                "How many frames per second of a camera the device would score if there were no other cameras.",
                Query(
                    f"max by (instance, camera) (inspector_capacity_frames_per_second{{{PROCESS}}})",
                    "{{camera}} {{instance}}",
                ),
                unit="short",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Frames by process",
                "Acknowledged verdicts per second.",
                Query(_rate("inspector_frames_total"), "{{instance}}"),
                unit="short",
                stacked=True,
                span=THIRD,
            )
        )
    )


def _queues(dashboard: Dashboard) -> Dashboard:
    p99 = f"histogram_quantile(0.99, {_rate('inspector_stage_seconds_bucket', 'stage, le')})"
    return (
        dashboard.with_row(Row("Batches and queues"))
        .with_panel(
            heat(
                "Batch sizes",
                "How many batches had how many frames. If all batches are full, the device is busy.",
                Query(
                    f"sum by (le) (increase(inspector_batch_frames_bucket{{{PROCESS}}}[$__rate_interval]))", "{{le}}"
                ),
                unit="short",
                axis="frames in a batch",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Queue depths",
                "Frames that wait before each stage. If one line grows without end, the service is stuck at that stage.",
                Query(_gauge("inspector_queue_frames", "stage"), "{{stage}}"),
                unit="short",
                stacked=True,
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Time by stage, 99 %",
                "99 of 100 frames took no longer than this in the stage.",
                Query(p99, "{{stage}}"),
                unit="s",
                span=THIRD,
            )
        )
    )


def _memory(dashboard: Dashboard) -> Dashboard:
    bound = f"sum by (instance) (inspector_memory_idle_bytes{{{PROCESS}}} + inspector_memory_bound_bytes{{{PROCESS}}})"
    return (
        dashboard.with_row(Row("Memory"))
        .with_panel(
            lines(
                "Memory against its bound",
                "Memory of the process now, before its first frame, and the most that its settings allow.",
                Query(_gauge("process_resident_memory_bytes"), "{{instance}}"),
                Query(_gauge("inspector_memory_idle_bytes"), "{{instance}} idle"),
                Query(bound, "{{instance}} bound"),
                unit="bytes",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Bytes in flight",
                "Memory reserved for frames between read and commit, and its limit. If it stays at the limit for minutes, verdicts leave too slowly.",
                Query(_gauge("inspector_in_flight_bytes"), "{{instance}}"),
                Query(_gauge("inspector_in_flight_limit_bytes"), "{{instance}} limit"),
                unit="bytes",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Processor and files",
                "Cores in use, and the share of the files that may be open.",
                Query(_rate("process_cpu_seconds_total"), "{{instance}} cores"),
                Query(f"process_open_fds{{{PROCESS}}} / process_max_fds{{{PROCESS}}}", "{{instance}} files"),
                unit="short",
                span=THIRD,
            )
        )
    )


def _broker(dashboard: Dashboard) -> Dashboard:
    return (
        dashboard.with_row(Row("Broker and restarts"))
        .with_panel(
            lines(
                "Commits and retries",
                "Per second: commits by outcome, and reads, sends and batches that had to be tried again. Only `commits ok` should be above zero.",
                Query(_rate("inspector_commits_total", "outcome"), "commits {{outcome}}"),
                Query(_rate("inspector_sends_retried_total", "output"), "sends retried: {{output}}"),
                Query(_rate("inspector_batches_retried_total"), "batches retried: {{instance}}"),
                Query(_rate("inspector_read_errors_total"), "reads failed: {{instance}}"),
                Query(_rate("inspector_out_of_memory_total"), "no room on the device: {{instance}}"),
                unit="short",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Unread frames and standstill",
                "Frames that are not read or not committed yet, and for how many seconds a partition has not been read although it has frames.",
                Query(f"sum(inspector_read_lag_frames{{{PROCESS}}} >= 0)", "to be read"),
                Query(f"sum(inspector_consumer_lag_frames{{{PROCESS}}} >= 0)", "to be committed"),
                Query(f"max(inspector_partition_stalled_seconds{{{PROCESS}}})", "seconds not read"),
                unit="short",
                span=THIRD,
            )
        )
        .with_panel(
            lines(
                "Restarts, rebalances, repeats",
                "Restarts and assignments within five minutes, and frames per second that were read again after them.",
                Query(
                    f"sum by (instance) (changes(process_start_time_seconds{{{PROCESS}}}[5m]))", "starts: {{instance}}"
                ),
                Query(
                    f"sum by (instance) (increase(inspector_rebalances_total{{{PROCESS}}}[5m]))",
                    "assignments: {{instance}}",
                ),
                Query(_rate("inspector_frames_redelivered_total"), "read again: {{instance}}"),
                unit="short",
                span=THIRD,
            )
        )
    )
