"""The names of the fields: one home, the same in the log, in spans and in exemplars, told in docs/logs.md."""

from __future__ import annotations

import io
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from inspector.observe import fields
from inspector.observe.fields import about, camera_fields, exemplar_labels, frame_fields
from inspector.observe.logs import configure_logging
from schemas import Identity, RecordSource, TraceContext, result_id_of

DOCS = Path(__file__).parents[4] / "docs" / "logs.md"
TRACE = TraceContext("ab" * 16, "cd" * 8, is_sampled=True)
OWN = {"timestamp", "level", "logger", "message", "exception"}
"""What every line has, and one with a stack."""


@dataclass
class Named:
    identity: Identity = Identity("L1", "C1", "part-7", 7, 1_000_000)  # noqa: RUF009 frozen
    source: RecordSource = RecordSource(topic="frames", partition=3, offset=99)  # noqa: RUF009
    trace: TraceContext | None = None


def test_a_frame_is_named_by_picture_result_and_record() -> None:
    named = Named()
    assert frame_fields(named) == {
        "line_id": "L1",
        "camera_id": "C1",
        "part_id": "part-7",
        "seq": 7,
        "result_id": result_id_of(named.identity, named.source),
        "topic": "frames",
        "partition": 3,
        "offset": 99,
    }
    assert tuple(frame_fields(named)) == fields.FRAME_FIELDS
    assert frame_fields(Named(trace=TRACE))["trace_id"] == "ab" * 16
    assert "trace_id" not in frame_fields(Named(trace=TRACE._replace(is_sampled=False))), "nobody has recorded it"


def test_what_could_not_be_read_is_left_out() -> None:
    assert frame_fields(Named(identity=Identity(camera_id="C1"))).keys() == {
        "camera_id",
        "result_id",
        "topic",
        "partition",
        "offset",
    }


def test_a_camera_is_named_by_its_line_too() -> None:
    assert camera_fields("L1/C1") == {"line_id": "L1", "camera_id": "C1"}


def test_every_line_of_a_bound_logger_carries_the_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", root.handlers[:])
    level = root.level
    stream = io.StringIO()
    configure_logging("info", as_json=True, stream=stream)
    try:
        bound = about(logging.getLogger("inspector.stages.decode"), Named(trace=TRACE), detail=None, batch_size=4)
        bound.warning("slow: %d s", 3)
        try:
            int("broken")
        except ValueError:
            bound.exception("failed")
    finally:
        root.setLevel(level)
    slow, failed = map(json.loads, stream.getvalue().splitlines())
    for line in (slow, failed):
        assert line.items() >= frame_fields(Named(trace=TRACE)).items()
        assert line["batch_size"] == 4
        assert "detail" not in line
    assert slow["message"] == "slow: 3 s"
    assert "ValueError" in failed["exception"]


@pytest.mark.parametrize("part", ["p", "p" * 50, "p" * 64])
@pytest.mark.parametrize("seq", [0, 2**53 - 1])
@pytest.mark.parametrize("trace", [None, TRACE])
def test_an_exemplar_names_the_part_and_what_else_fits_into_128_characters(
    part: str, seq: int, trace: TraceContext | None
) -> None:
    labels = exemplar_labels(Named(Identity("L1", "C1", part, seq, 1), trace=trace))
    assert labels is not None
    assert labels["part_id"] == part
    assert labels.get("trace_id") == (None if trace is None else trace.trace_id)
    length = sum(len(name) + len(value) for name, value in labels.items())
    assert length <= fields.MAX_EXEMPLAR_LENGTH
    assert "seq" in labels or length + len("seq") + len(str(seq)) > fields.MAX_EXEMPLAR_LENGTH


def test_without_a_part_there_is_no_exemplar() -> None:
    assert exemplar_labels(Named(identity=Identity())) is None


def test_the_page_names_every_field_and_shows_lines_that_have_no_other() -> None:
    page = DOCS.read_text()
    named = {
        name
        for row in re.findall(r"^\| (`[^|]*) \|", page, flags=re.MULTILINE)
        for name in re.findall("`([a-z_]+)`", row)
    }
    known = {*fields.FRAME_FIELDS, *fields.VERDICT_FIELDS, fields.TRACE_ID, fields.STAGE}
    assert known <= named
    lines = [json.loads(line) for line in page.splitlines() if line.startswith("{")]
    assert len(lines) >= 4
    for line in lines:
        assert line.keys() <= known | OWN
        assert {"timestamp", "level", "logger", "message"} <= line.keys()
    assert sum(line.keys() >= set(fields.FRAME_FIELDS) for line in lines) >= 2
