"""The result that a record holds."""

from __future__ import annotations

from inspector.bus.ports import ConsumedRecord
from schemas import DLResultMessage, SchemaError, decode


def result_of(record: ConsumedRecord) -> DLResultMessage | None:
    """Return it; None where the record, or what it holds, cannot be read."""
    if record.fault is not None:
        return None
    try:
        return decode(DLResultMessage, record.value or b"")
    except SchemaError:
        return None
