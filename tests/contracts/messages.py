"""Sound messages to start from, as the arguments of their constructors, and Hypothesis strategies of messages."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from schemas import (
    MAX_CAPTURED_AT,
    MAX_INTEGER,
    REASONS,
    CameraFrame,
    ComponentMessage,
    DeadLetter,
    DeadLetterStatus,
    DLResultMessage,
    Identity,
    ImageEncoding,
    ModelReference,
    RawFormat,
    RecordSource,
    RegionMessage,
    image_digest,
    result_id_of,
)

CAPTURED_AT = 1_760_000_000_000_000
IDENTITY = Identity("line-1", "cam_A", "P-000042", 42, CAPTURED_AT)
SOURCE = RecordSource(topic="inspection.frames", partition=3, offset=1234)
MODEL = ModelReference(name="cookie", version="3", digest="0f" * 32)


def refuse(model: type[BaseModel], fields: dict[str, Any], match: str) -> None:
    """See that the message cannot be made, and why not."""
    with pytest.raises(ValidationError, match=match):
        model(**fields)


def frame_fields(**changes: Any) -> dict[str, Any]:
    return {**IDENTITY._asdict(), "encoding": "jpeg", "image": b"\xff\xd8\xff picture"} | changes


def component_fields(**changes: Any) -> dict[str, Any]:
    return {"x": 2, "y": 1, "width": 3, "height": 2, "area": 6, "max_score": 0.875} | changes


def region_fields(**changes: Any) -> dict[str, Any]:
    components = (ComponentMessage(**component_fields()),)
    return {
        "width": 8,
        "height": 6,
        "counts": b"=244N2",
        "area": 6,
        "num_components": 1,
        "components": components,
    } | changes


def result_fields(**changes: Any) -> dict[str, Any]:
    """An inspected, sound part; result_id follows the changes unless it is one of them."""
    fields: dict[str, Any] = {
        **IDENTITY._asdict(),
        "source": SOURCE,
        "status": "inspected",
        "reason": "none",
        "anomaly_score": 0.25,
        "anomaly_class": "ok",
        "anomaly_class_id": 0,
        "classification_threshold": 0.5,
        "segmentation_threshold": 0.625,
        "deadline_at": CAPTURED_AT + 1_000_000,
        "produced_at": CAPTURED_AT + 20_000,
        "model": MODEL,
        "stage_seconds": {"decode": 0.002},
    } | changes
    return {"result_id": result_id_of(_identity(fields), fields["source"])} | fields


def refused_fields(**changes: Any) -> dict[str, Any]:
    """A part that could not be inspected."""
    nok = {"anomaly_score": None, "anomaly_class": "nok", "anomaly_class_id": 1}
    return result_fields(**{"status": "failed", "reason": "geometry", **nok, **changes})


def deadletter_fields(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        **IDENTITY._asdict(),
        "source": SOURCE,
        "status": "failed",
        "reason": "geometry",
        "key": b"line-1/cam_A",
        "value_digest": image_digest(b"body"),
        "value_bytes": 4,
        "produced_at": CAPTURED_AT,
    } | changes
    return {"result_id": result_id_of(_identity(fields), fields["source"])} | fields


def _identity(fields: dict[str, Any]) -> Identity:
    return Identity(*(fields[name] for name in Identity._fields))


ids = st.from_regex(r"[A-Za-z0-9_-]{1,64}", fullmatch=True)
counts = st.integers(0, MAX_INTEGER)
capture_times = st.integers(0, MAX_CAPTURED_AT)
digests = st.binary(min_size=32, max_size=32).map(bytes.hex)
unit_floats = st.floats(0.0, 1.0)
identities = st.builds(Identity, ids, ids, ids, counts, capture_times)
partial_identities = st.builds(
    Identity, st.none() | ids, st.none() | ids, st.none() | ids, st.none() | counts, st.none() | capture_times
)
sources = st.builds(
    RecordSource,
    topic=st.from_regex(r"[A-Za-z0-9._-]{1,249}", fullmatch=True),
    partition=st.integers(0, 2**31 - 1),
    offset=counts,
)
models = st.builds(ModelReference, name=st.text(min_size=1, max_size=128), version=st.just("1"), digest=digests)


@st.composite
def frames(draw: st.DrawFn) -> CameraFrame:
    encodings: tuple[ImageEncoding, ...] = get_args(ImageEncoding)
    encoding = draw(st.sampled_from(encodings))
    raw, image = None, draw(st.binary(min_size=1, max_size=200))
    if encoding == "raw":
        raw = RawFormat(
            width=draw(st.integers(1, 9)),
            height=draw(st.integers(1, 9)),
            pixel_format=draw(st.sampled_from(["mono8", "mono16", "rgb8", "bgr8"])),
        )
        image = draw(st.binary(min_size=raw.num_bytes, max_size=raw.num_bytes))
    carried: dict[str, Any] = {"image": image, "image_digest": draw(st.none() | st.just(image_digest(image)))}
    named: dict[str, Any] = {
        "image_uri": "s3://bucket/a.jpg",
        "image_bytes": len(image),
        "image_digest": image_digest(image),
    }
    return CameraFrame(
        **draw(identities)._asdict(),
        budget_us=draw(st.none() | st.integers(1, 10**7)),
        encoding=encoding,
        raw=raw,
        **draw(st.sampled_from([carried, named])),
        is_simulated=draw(st.booleans()),
    )


@st.composite
def regions(draw: st.DrawFn) -> RegionMessage:
    """Regions whose listed areas add up; the code itself is any bytes, which only `decode_rle` reads."""
    width, height = draw(st.integers(1, 65_535)), draw(st.integers(1, 65_535))
    is_truncated = draw(st.booleans())
    component = st.builds(
        ComponentMessage,
        x=st.integers(0, width - 1),
        y=st.integers(0, height - 1),
        width=st.just(1),
        height=st.just(1),
        area=st.just(1),
        max_score=unit_floats,
    )
    components = tuple(draw(st.lists(component, max_size=min(5, width * height))))
    return RegionMessage(
        width=width,
        height=height,
        counts=None if is_truncated else draw(st.binary(max_size=50)),
        region_truncated=is_truncated,
        area=len(components),
        num_components=len(components),
        components=components,
    )


@st.composite
def results(draw: st.DrawFn) -> DLResultMessage:
    status = draw(st.sampled_from(sorted(REASONS)))
    is_inspected = status == "inspected"
    identity = draw(partial_identities if status == "undecodable" else identities)
    source = draw(sources)
    score, threshold = draw(unit_floats), draw(unit_floats)
    is_nok = not is_inspected or score >= threshold
    deadline = None if identity.captured_at is None else identity.captured_at + draw(st.integers(0, 10**6))
    # An ok from before its own capture is refused; of a nok the clocks may say what they will.
    produced_at = draw(counts) if is_nok else (identity.captured_at or 0) + draw(st.integers(0, 10**6))
    return DLResultMessage(
        result_id=result_id_of(identity, source),
        source=source,
        **identity._asdict(),
        status=status,
        reason=draw(st.sampled_from(sorted(REASONS[status]))),
        anomaly_score=score if is_inspected else None,
        anomaly_class="nok" if is_nok else "ok",
        anomaly_class_id=1 if is_nok else 0,
        anomaly_region=draw(st.none() | regions()) if is_inspected else None,
        classification_threshold=threshold if is_inspected else draw(st.none() | st.just(threshold)),
        segmentation_threshold=0.5 if is_inspected else draw(st.none() | st.just(0.5)),
        deadline_at=deadline,
        produced_at=produced_at,
        model=draw(models) if is_inspected else draw(st.none() | models),
        stage_seconds=draw(
            st.dictionaries(st.sampled_from(["admit", "decode", "score"]), st.floats(0, 1e6), max_size=3)
        ),
        is_simulated=draw(st.booleans()),
        deployment=draw(st.none() | st.just("line-inspector")),
    )


@st.composite
def deadletters(draw: st.DrawFn) -> DeadLetter:
    statuses: tuple[DeadLetterStatus, ...] = get_args(DeadLetterStatus)
    status = draw(st.sampled_from(statuses))
    return DeadLetter.of_record(
        source=draw(sources),
        key=draw(st.none() | st.binary(max_size=1100)),
        value=draw(st.none() | st.binary(max_size=100)),
        identity=draw(partial_identities if status == "undecodable" else identities),
        status=status,
        reason=draw(st.sampled_from(sorted(REASONS[status]))),
        detail=draw(st.text(max_size=600)),
        produced_at=draw(counts),
        keep_value=draw(st.booleans()),
    )
