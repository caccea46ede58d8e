"""The rules of a dead letter, and how one is made of any record."""

from __future__ import annotations

from typing import Any

import pytest

from schemas import DeadLetter, Identity, encode, image_digest, result_id_of
from tests.contracts.messages import CAPTURED_AT, IDENTITY, SOURCE, deadletter_fields, refuse


def of_record(**changes: Any) -> DeadLetter:
    fields: dict[str, Any] = {
        "source": SOURCE,
        "key": b"line-1/cam_A",
        "value": b"body",
        "identity": IDENTITY,
        "status": "undecodable",
        "reason": "corrupt",
        "detail": "",
        "produced_at": CAPTURED_AT,
        "keep_value": True,
    } | changes
    return DeadLetter.of_record(**fields)


def test_a_dead_letter_finds_its_record_again() -> None:
    letter = of_record()
    assert (letter.value, letter.value_bytes, letter.value_digest) == (b"body", 4, image_digest(b"body"))
    assert letter.identity == IDENTITY
    without = of_record(keep_value=False)
    assert (without.value, without.value_bytes, without.value_digest) == (None, 4, letter.value_digest)


def test_a_dead_letter_takes_any_record() -> None:
    letter = of_record(key=bytes(1025), value=None, identity=Identity(), detail="\udcff" + "x" * 600)
    assert (letter.key, letter.value, letter.value_bytes) == (None, b"", 0)
    assert letter.detail == "?" + "x" * 499
    assert encode(letter)
    assert of_record(key=bytes(1024)).key == bytes(1024)
    assert of_record(key=None).key is None


def test_a_dead_letter_keeps_a_value_up_to_the_limit_and_tells_the_length_of_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("schemas.deadletter.MAX_VALUE_BYTES", 4)
    assert of_record(value=b"four").value == b"four"
    longer = of_record(value=b"value")
    assert (longer.value, longer.value_bytes, longer.value_digest) == (None, 5, image_digest(b"value"))


def test_a_dead_letter_says_what_it_was_given() -> None:
    letter = of_record(detail="why", status="failed", reason="geometry", produced_at=CAPTURED_AT + 7)
    assert (letter.detail, letter.status, letter.reason) == ("why", "failed", "geometry")
    assert (letter.source, letter.key, letter.produced_at) == (SOURCE, b"line-1/cam_A", CAPTURED_AT + 7)
    assert letter.result_id == result_id_of(IDENTITY, SOURCE)


@pytest.mark.parametrize("status", ["inspected", "expired"])
def test_there_is_no_dead_letter_of_an_answered_frame(status: str) -> None:
    refuse(DeadLetter, deadletter_fields(status=status, reason="none"), "status")


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"reason": "corrupt"}, "does not belong to status failed"),
        ({"value": b"bod"}, "value has 3 bytes, but value_bytes is 4"),
        ({"key": bytes(1025)}, "key"),
        ({"value_digest": "0"}, "value_digest"),
        ({"detail": 5}, "detail"),
    ],
)
def test_a_dead_letter_is_consistent(changes: dict[str, Any], match: str) -> None:
    refuse(DeadLetter, deadletter_fields(**changes), match)
