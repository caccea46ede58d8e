"""Logs: one line a record, with its extra fields, as text or JSON."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from inspector.observe.logs import configure_logging


@pytest.fixture(autouse=True)
def _restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, quiet = root.handlers[:], root.level, logging.getLogger("aiokafka").level
    yield
    root.handlers = handlers
    root.setLevel(level)
    logging.getLogger("aiokafka").setLevel(quiet)


def test_json_has_one_object_a_line_with_extra_fields() -> None:
    stream = io.StringIO()
    configure_logging("info", as_json=True, stream=stream)
    logging.getLogger("inspector.stages.sink").warning("sent %d", 3, extra={"camera": "L1/C1"})
    logging.getLogger("inspector.stages.sink").debug("unseen")
    (line,) = stream.getvalue().splitlines()
    record = json.loads(line)
    assert record["message"] == "sent 3"
    assert (record["level"], record["logger"], record["camera"]) == ("warning", "inspector.stages.sink", "L1/C1")
    assert record["timestamp"].endswith("Z")


def test_json_keeps_a_traceback_inside_its_line() -> None:
    stream = io.StringIO()
    configure_logging("info", as_json=True, stream=stream)
    try:
        int("broken")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (line,) = stream.getvalue().splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["exception"]


def test_text_is_plain_where_there_is_no_terminal() -> None:
    stream = io.StringIO()
    configure_logging("debug", as_json=False, stream=stream)
    logging.getLogger("inspector.inflight.lease").debug("committed", extra={"offset": 7})
    text = stream.getvalue()
    assert "committed" in text
    assert "offset=7" in text
    assert "\x1b" not in text


@pytest.mark.parametrize(("level", "expected"), [("debug", logging.WARNING), ("error", logging.ERROR)])
def test_aiokafka_is_no_louder_than_warnings(level: str, expected: int) -> None:
    configure_logging(level, as_json=False, stream=io.StringIO())
    assert logging.getLogger("aiokafka.consumer").getEffectiveLevel() == expected


def test_configuring_again_replaces_what_was_there() -> None:
    first, second = io.StringIO(), io.StringIO()
    configure_logging("info", as_json=True, stream=first)
    configure_logging("info", as_json=True, stream=second)
    logging.getLogger("x").info("once")
    assert first.getvalue() == ""
    assert len(second.getvalue().splitlines()) == 1


def test_a_warning_that_repeats_itself_is_one_line_also_from_aiokafka() -> None:
    stream = io.StringIO()
    configure_logging("info", as_json=True, stream=stream)
    for number in range(1000):
        logging.getLogger("aiokafka.cluster").error("Topic %s not found in cluster metadata", "frames")
        logging.getLogger("inspector.stages.source").warning("partition %d: no answer", number)
        logging.getLogger("inspector").info("not a warning")
    written = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["message"] for record in written if record["level"] != "info"] == [
        "Topic frames not found in cluster metadata",
        "partition 0: no answer",
    ]
    assert len(written) == 1002
