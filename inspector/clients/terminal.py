"""How the clients print things: a line for a person, or an object for a program."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from inspector.clients.replay import ReplaySummary, SentFrame
from inspector.clients.results import Verdict
from inspector.clients.topics import TopicReport
from schemas import DLResultMessage

_COLUMNS = (("time", 13), ("camera", 18), ("part", 24), ("verdict", 8), ("score", 8), ("limit", 8), ("ms", 7))


def verdict_header() -> Text:
    """Return the head of the lines that `verdict_line` makes."""
    return Text("".join(name.ljust(width) for name, width in _COLUMNS) + "what", style="bold")


def verdict_line(verdict: Verdict) -> Text:
    """Return one verdict as a line; what rejects is red, what came before is dim."""
    message = verdict.message
    if message is None:
        return Text(
            f"{verdict.topic}/{verdict.partition}@{verdict.offset}: no result: {verdict.error}", style="magenta"
        )
    cells = (
        f"{datetime.fromtimestamp(message.produced_at / 1e6, UTC).astimezone():%H:%M:%S.%f}"[:-3],
        f"{message.line_id or '?'}/{message.camera_id or '?'}",
        message.part_id or "?",
        message.anomaly_class.upper(),
        _number(message.anomaly_score),
        _number(message.classification_threshold),
        "" if message.captured_at is None else f"{(message.produced_at - message.captured_at) / 1000:.0f}",
    )
    line = Text(style="dim" if verdict.is_repeat else "")
    for cell, (name, width) in zip(cells, _COLUMNS, strict=True):
        colour = "" if name != "verdict" else "green" if message.anomaly_class_id == 0 else "bold red"
        line.append(cell[: width - 1].ljust(width), style=colour)
    return line.append(_what(message) + (" (again)" if verdict.is_repeat else ""))


def _what(message: DLResultMessage) -> str:
    """Say why there is no score, or where the defect lies, and whether the verdict came in time."""
    if message.status != "inspected":
        words = [f"{message.status}: {message.reason}"]
    elif message.anomaly_region is None:
        words = []
    else:
        words = [f"{message.anomaly_region.num_components} regions, {message.anomaly_region.area} px"]
    if message.deadline_at is not None and message.produced_at > message.deadline_at:
        words.append("late")
    return ", ".join(words)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def verdict_json(verdict: Verdict) -> str:
    """Return one verdict as a JSON object: the message's fields, and what this reading knows of it."""
    known: dict[str, Any] = {
        "topic": verdict.topic,
        "partition": verdict.partition,
        "offset": verdict.offset,
        "is_repeat": verdict.is_repeat,
    }
    if verdict.message is None:
        return json.dumps(known | {"error": verdict.error})
    # Through pydantic, which knows how the contract writes bytes as JSON.
    return json.dumps(known | json.loads(verdict.message.model_dump_json()))


def sent_json(sent: SentFrame) -> str:
    """Return one frame that the broker has as a JSON object."""
    return json.dumps(
        {
            "event": "sent",
            "file": str(sent.file),
            "part_id": sent.part_id,
            "seq": sent.seq,
            "captured_at": sent.captured_at,
            "result_id": sent.result_id,
            "partition": sent.partition,
            "offset": sent.offset,
        }
    )


def summary_json(summary: ReplaySummary) -> str:
    """Return the outcome of a replay as a JSON object."""
    return json.dumps(
        {
            "event": "summary",
            "camera": summary.camera,
            "topic": summary.topic,
            "frames": summary.frames,
            "failed": summary.failed,
            "bytes": summary.num_bytes,
            "seconds": round(summary.seconds, 3),
            "fps": round(summary.fps, 2),
            "behind_s": round(summary.behind_s, 3),
            "errors": summary.errors,
        }
    )


def summary_line(summary: ReplaySummary) -> str:
    """Return the outcome of a replay as a sentence."""
    megabytes = summary.num_bytes / 1e6
    line = (
        f"{summary.camera}: {summary.frames} frames, {megabytes:.1f} MB, to {summary.topic} "
        f"in {summary.seconds:.1f} s ({summary.fps:.1f} frames/s)"
    )
    if summary.failed:
        line += f"; {summary.failed} NOT taken: " + "; ".join(summary.errors)
    return line


def topic_lines(report: TopicReport) -> list[str]:
    """Return the outcome for a topic, one line per fact."""
    if report.created:
        return [f"{report.name}: created"]
    if not report.differences:
        return [f"{report.name}: correct"]
    return [f"{report.name}: {difference}" for difference in report.differences]


class VerdictDisplay:
    """Prints verdicts on standard output, each at once."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        # A pipe has no width: a line is never broken for it.
        self._console = Console(soft_wrap=True, highlight=False)
        self.count = 0

    def show(self, verdict: Verdict) -> None:
        """Print one; the first in text comes with a head."""
        self.count += 1
        if self._as_json:
            _write_line(verdict_json(verdict))
            return
        if self.count == 1:
            self._console.print(verdict_header())
        self._console.print(verdict_line(verdict))


class ReplayDisplay:
    """Shows a replay's progress on a terminal's standard error, or prints each sent frame as JSON on standard output."""

    def __init__(self, count: int | None, *, as_json: bool) -> None:
        console = Console(stderr=True)
        columns = (TextColumn("sent"), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=console, disable=as_json or not console.is_terminal)
        self._task = self._progress.add_task("sent", total=count)
        self._as_json = as_json

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._progress.stop()

    def on_sent(self, sent: SentFrame) -> None:
        """Take note of a frame that the broker has."""
        self._progress.advance(self._task)
        if self._as_json:
            _write_line(sent_json(sent))


def _write_line(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
