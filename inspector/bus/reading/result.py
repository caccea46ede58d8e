"""The message in a record, in most cases a result."""

from __future__ import annotations

from typing import TypeVar

from inspector.bus.ports import ConsumedRecord
from schemas import MAX_MESSAGE_BYTES, DLResultMessage, Message, SchemaError, decode

M = TypeVar("M", bound=Message)


def message_of(record: ConsumedRecord, kind: type[M], *, max_bytes: int = MAX_MESSAGE_BYTES) -> M | None:
    """Return it; None where the record, or what it holds, cannot be read."""
    if record.fault is not None:
        return None
    try:
        return decode(kind, record.value or b"", max_bytes=max_bytes)
    except SchemaError:
        return None


def result_of(record: ConsumedRecord) -> DLResultMessage | None:
    """Return the result; None where there is none that can be read."""
    return message_of(record, DLResultMessage)
