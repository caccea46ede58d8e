"""The rules of each message, as its constructor checks them; `decode` goes through the same checks."""

from __future__ import annotations

import math
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from schemas import (
    MAX_BUDGET_US,
    MAX_CAPTURED_AT,
    MAX_INTEGER,
    REASONS,
    CameraFrame,
    ComponentMessage,
    DeadLetter,
    DLResultMessage,
    Identity,
    RawFormat,
    RecordSource,
    RegionMessage,
    image_digest,
    result_id_of,
    result_id_of_record,
)
from schemas.frame import BYTES_PER_PIXEL
from tests.contracts.messages import (
    CAPTURED_AT,
    IDENTITY,
    MODEL,
    SOURCE,
    component_fields,
    deadletter_fields,
    frame_fields,
    refuse,
    refused_fields,
    region_fields,
    result_fields,
)

NOWHERE = Identity()._asdict()


@pytest.mark.parametrize("field", ["line_id", "camera_id", "part_id"])
@pytest.mark.parametrize("value", ["", "a" * 65, "a/b", "ä", "a b", "a\n", None, 1])
def test_ids_are_short_and_plain(field: str, value: object) -> None:
    refuse(CameraFrame, frame_fields(**{field: value}), field)


@pytest.mark.parametrize("value", ["a", "A-z_09", "x" * 64])
def test_ids_within_the_rule_pass(value: str) -> None:
    assert CameraFrame(**frame_fields(part_id=value)).part_id == value


@pytest.mark.parametrize(
    ("field", "largest"), [("seq", MAX_INTEGER), ("captured_at", MAX_CAPTURED_AT), ("budget_us", MAX_BUDGET_US)]
)
def test_integers_of_a_frame_are_bounded(field: str, largest: int) -> None:
    assert getattr(CameraFrame(**frame_fields(**{field: largest})), field) == largest
    refuse(CameraFrame, frame_fields(**{field: largest + 1}), field)
    refuse(CameraFrame, frame_fields(**{field: -1}), field)


def test_a_budget_of_nothing_is_refused() -> None:
    refuse(CameraFrame, frame_fields(budget_us=0), "budget_us")


def test_the_latest_deadline_fits_a_result() -> None:
    deadline = MAX_CAPTURED_AT + MAX_BUDGET_US
    latest = refused_fields(captured_at=MAX_CAPTURED_AT, deadline_at=deadline)
    assert DLResultMessage(**latest).deadline_at == deadline


def test_an_error_never_prints_the_image() -> None:
    with pytest.raises(ValidationError) as caught:
        CameraFrame(**frame_fields(encoding="gif", image="secret"))
    assert "secret" not in str(caught.value)


def test_an_image_has_bytes() -> None:
    refuse(CameraFrame, frame_fields(image=b""), "image")


def test_an_image_is_no_larger_than_the_contract_allows() -> None:
    refuse(CameraFrame, frame_fields(image=bytes(64 * 1024 * 1024 + 1)), "image")


@pytest.mark.parametrize("pixel_format", BYTES_PER_PIXEL)
def test_a_raw_image_has_the_length_of_its_layout(pixel_format: Any) -> None:
    raw = RawFormat(width=4, height=3, pixel_format=pixel_format)
    size = 12 * {"mono8": 1, "mono16": 2, "rgb8": 3, "bgr8": 3}[pixel_format]
    assert CameraFrame(**frame_fields(encoding="raw", raw=raw, image=bytes(size))).raw == raw
    for wrong in (size - 1, size + 1):
        refuse(CameraFrame, frame_fields(encoding="raw", raw=raw, image=bytes(wrong)), f"takes {size}")


def test_raw_and_its_layout_belong_together() -> None:
    refuse(CameraFrame, frame_fields(encoding="raw"), "raw must contain width")
    raw = RawFormat(width=4, height=3, pixel_format="mono8")
    refuse(CameraFrame, frame_fields(encoding="png", raw=raw), "only be given with encoding raw, not png")


@pytest.mark.parametrize("changes", [{"width": 0}, {"height": 65_536}, {"pixel_format": "bayer8"}])
def test_layouts_outside_the_rule_are_refused(changes: dict[str, Any]) -> None:
    refuse(RawFormat, {"width": 4, "height": 3, "pixel_format": "mono8"} | changes, next(iter(changes)))


def test_one_flipped_bit_shows_in_the_digest() -> None:
    image = b"\xff\xd8\xff picture"
    flipped = image[:-1] + bytes([image[-1] ^ 1])
    assert CameraFrame(**frame_fields(image=image, image_digest=image_digest(image))).is_intact()
    assert not CameraFrame(**frame_fields(image=flipped, image_digest=image_digest(image))).is_intact()
    assert CameraFrame(**frame_fields(image=flipped)).is_intact()


@pytest.mark.parametrize("digest", ["0" * 63, "0" * 65, "0F" * 32, b"0" * 64])
def test_digests_are_lower_case_hexadecimal(digest: object) -> None:
    refuse(CameraFrame, frame_fields(image_digest=digest), "image_digest")


def test_messages_are_frozen() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        CameraFrame(**frame_fields()).seq = 5  # type: ignore[misc]


@pytest.mark.parametrize("name", ["anomaly_score", "classification_threshold", "segmentation_threshold", "model"])
def test_an_inspected_result_tells_what_it_judged_by(name: str) -> None:
    refuse(DLResultMessage, result_fields(**{name: None}), "both thresholds and model")


@pytest.mark.parametrize(
    ("score", "class_id"),
    [(0.5, 1), (math.nextafter(0.5, 0), 0), (math.nextafter(0.5, 1), 1), (0.0, 0), (1.0, 1)],
)
def test_the_class_is_nok_from_the_threshold_on(score: float, class_id: int) -> None:
    names = ("ok", "nok")
    for claimed in (0, 1):
        fields = result_fields(anomaly_score=score, anomaly_class=names[claimed], anomaly_class_id=claimed)
        if claimed == class_id:
            assert DLResultMessage(**fields).anomaly_class_id == class_id
        else:
            refuse(DLResultMessage, fields, f"give {class_id}")


def test_a_verdict_from_before_the_capture_is_never_ok() -> None:
    before = {"produced_at": CAPTURED_AT - 1}
    refuse(DLResultMessage, result_fields(**before), "produced_at is before captured_at: the clocks disagree")
    nok = {"anomaly_score": 0.9, "anomaly_class": "nok", "anomaly_class_id": 1}
    assert DLResultMessage(**result_fields(**before, **nok)).anomaly_class_id == 1
    assert DLResultMessage(**refused_fields(**before)).anomaly_class_id == 1
    assert DLResultMessage(**result_fields(produced_at=CAPTURED_AT)).anomaly_class_id == 0


def test_class_and_class_id_agree() -> None:
    refuse(DLResultMessage, result_fields(anomaly_class="nok"), "not the class of id 0")
    refuse(DLResultMessage, refused_fields(anomaly_class="ok"), "not the class of id 1")


@pytest.mark.parametrize("class_id", [2, -1, "1", 0.5, None])
def test_class_ids_are_zero_or_one(class_id: object) -> None:
    refuse(DLResultMessage, refused_fields(anomaly_class_id=class_id), "anomaly_class_id")


def test_a_class_id_is_an_integer_whatever_equal_value_was_given() -> None:
    class_id = DLResultMessage(**refused_fields(anomaly_class_id=True)).anomaly_class_id
    assert repr(class_id) == "1"


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, -0.1, 1.1])
def test_a_score_is_a_number_from_0_to_1(score: float) -> None:
    refuse(DLResultMessage, result_fields(anomaly_score=score), "anomaly_score")


@pytest.mark.parametrize("status", sorted(REASONS.keys() - {"inspected"}))
def test_only_inspected_parts_pass(status: Any) -> None:
    reason = min(REASONS[status])
    assert DLResultMessage(**refused_fields(status=status, reason=reason)).anomaly_class == "nok"
    passing = result_fields(status=status, reason=reason, anomaly_score=None)
    refuse(DLResultMessage, passing, f"status {status} must have class nok")
    refuse(DLResultMessage, refused_fields(status=status, reason=reason, anomaly_score=0.9), "neither score")
    region = RegionMessage(**region_fields())
    refuse(DLResultMessage, refused_fields(status=status, reason=reason, anomaly_region=region), "nor region")


@pytest.mark.parametrize("status", sorted(REASONS))
def test_each_status_has_its_own_reasons(status: Any) -> None:
    fields = result_fields() if status == "inspected" else refused_fields()
    for reason in REASONS[status]:
        assert DLResultMessage(**fields | {"status": status, "reason": reason}).reason == reason
    for reason in set().union(*REASONS.values()) - REASONS[status]:
        refuse(DLResultMessage, fields | {"status": status, "reason": reason}, "does not belong to status")


def test_reasons_are_a_closed_list() -> None:
    refuse(DLResultMessage, refused_fields(reason="because"), "reason")


@pytest.mark.parametrize("field", Identity._fields)
def test_only_an_undecodable_frame_may_be_nameless(field: str) -> None:
    changes: dict[str, Any] = {field: None} | ({"deadline_at": None} if field == "captured_at" else {})
    undecodable = refused_fields(status="undecodable", reason="malformed", **changes)
    assert DLResultMessage(**undecodable).result_id == result_id_of_record("inspection.frames", 3, 1234)
    for fields in (result_fields(**changes), refused_fields(**changes)):
        refuse(DLResultMessage, fields, "identifies the frame")
    letter = deadletter_fields(status="undecodable", reason="malformed", **{field: None})
    assert getattr(DeadLetter(**letter), field) is None
    refuse(DeadLetter, deadletter_fields(**{field: None}), "identifies the frame")


@pytest.mark.parametrize(("model", "fields"), [(DLResultMessage, result_fields()), (DeadLetter, deadletter_fields())])
def test_a_result_id_is_the_one_of_the_frame(model: type[BaseModel], fields: dict[str, Any]) -> None:
    assert fields["result_id"] == result_id_of(IDENTITY, SOURCE)
    refuse(model, fields | {"result_id": result_id_of(Identity(), SOURCE)}, "for this identity and source")
    refuse(model, fields | {"seq": 43}, "for this identity and source")
    refuse(model, fields | {"result_id": "0" * 31}, "result_id")


def test_a_redelivery_from_another_offset_keeps_its_id() -> None:
    elsewhere = RecordSource(topic="inspection.frames", partition=3, offset=99)
    assert result_fields(source=elsewhere)["result_id"] == result_fields()["result_id"]


def test_a_deadline_goes_with_a_capture_time() -> None:
    refuse(DLResultMessage, result_fields(deadline_at=None), "deadline_at must be null exactly")
    nameless = refused_fields(status="undecodable", reason="malformed", captured_at=None)
    refuse(DLResultMessage, nameless, "deadline_at must be null exactly")
    refuse(DLResultMessage, result_fields(deadline_at=CAPTURED_AT - 1), "before captured_at")
    assert DLResultMessage(**result_fields(deadline_at=CAPTURED_AT)).deadline_at == CAPTURED_AT


@pytest.mark.parametrize(
    "stages", [{"decode": -0.1}, {"decode": math.nan}, {"Decode": 0.1}, {"": 0.1}, {"a" * 33: 0.1}, {"decode": "1"}]
)
def test_stage_seconds_are_named_and_finite(stages: dict[str, Any]) -> None:
    refuse(DLResultMessage, result_fields(stage_seconds=stages), "stage_seconds")


@pytest.mark.parametrize("changes", [{"name": ""}, {"version": "v" * 129}, {"digest": "0"}])
def test_a_model_is_named(changes: dict[str, str]) -> None:
    refuse(type(MODEL), MODEL.model_dump() | changes, next(iter(changes)))


@pytest.mark.parametrize("changes", [{"topic": "a b"}, {"topic": "a" * 250}, {"partition": -1}, {"offset": -1}])
def test_a_source_is_a_place_in_kafka(changes: dict[str, Any]) -> None:
    refuse(RecordSource, SOURCE.model_dump() | changes, next(iter(changes)))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"x": -1}, "x"),
        ({"width": 0}, "width"),
        ({"area": 0}, "area"),
        ({"area": 7}, "larger than the box"),
        ({"max_score": math.nan}, "max_score"),
        ({"max_score": 1.5}, "max_score"),
    ],
)
def test_a_component_fits_its_box(changes: dict[str, Any], match: str) -> None:
    refuse(ComponentMessage, component_fields(**changes), match)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"counts": None}, "counts must be null if region_truncated"),
        ({"region_truncated": True}, "counts must be null if region_truncated"),
        ({"counts": bytes(256 * 1024 + 1)}, "counts"),
        ({"num_components": 2}, "1 components listed of 2"),
        ({"num_components": 0}, "1 components listed of 0"),
        ({"area": 49}, "more than 8 x 6"),
        ({"area": 5}, "add up to 6"),
        ({"area": 7}, "add up to 6"),
        ({"width": 4}, "extends beyond"),
        ({"height": 2}, "extends beyond"),
        ({"components": (ComponentMessage(**component_fields()),) * 257, "num_components": 257}, "components"),
    ],
)
def test_a_region_is_consistent(changes: dict[str, Any], match: str) -> None:
    refuse(RegionMessage, region_fields(**changes), match)


def test_components_and_regions_may_fill_their_boxes_and_the_picture() -> None:
    whole = ComponentMessage(**component_fields(x=0, y=0, width=8, height=6, area=48))
    region = RegionMessage(**region_fields(components=(whole,), area=48))
    assert (region.area, region.components) == (48, (whole,))
    for place in ({"x": 1}, {"y": 1}):
        moved = ComponentMessage(**component_fields(**{"x": 0, "y": 0, "width": 8, "height": 6, "area": 48} | place))
        refuse(RegionMessage, region_fields(components=(moved,), area=48), "extends beyond")


def test_an_empty_region_is_legal_in_a_nok_result() -> None:
    empty = RegionMessage(**region_fields(counts=b"`1", area=0, num_components=0, components=()))
    nok = result_fields(anomaly_score=0.9, anomaly_class="nok", anomaly_class_id=1, anomaly_region=empty)
    assert DLResultMessage(**nok).anomaly_region == empty


def test_a_region_without_its_code_says_so() -> None:
    assert RegionMessage(**region_fields(counts=None, region_truncated=True)).area == 6


def test_the_area_may_exceed_the_listed_components_only_where_some_are_missing() -> None:
    one = ComponentMessage(**component_fields(width=1, height=1, area=1))
    fields = region_fields(width=100, height=100, components=(one,) * 256, area=300)
    refuse(RegionMessage, fields | {"num_components": 256}, "add up to 256")
    assert RegionMessage(**fields | {"num_components": 300}).area == 300


CLAIM: dict[str, Any] = {"image": b"", "image_uri": "s3://bucket/a.jpg", "image_bytes": 7, "image_digest": "0" * 64}


def test_a_frame_that_names_its_picture_writes_no_image_and_one_that_carries_it_no_place() -> None:
    fields = frame_fields()
    del fields["image"]
    claim = CameraFrame(**fields, **{name: value for name, value in CLAIM.items() if name != "image"})
    assert {"image_uri", "image_bytes"} <= claim.model_dump().keys()
    assert "image" not in claim.model_dump()
    assert not {"image_uri", "image_bytes"} & CameraFrame(**frame_fields()).model_dump().keys()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "neither"),
        ({"image_bytes": 7}, "image_bytes may only be given with image_uri"),
        ({"image_uri": "s3://bucket/a.jpg", "image_bytes": 7, "image_digest": "0" * 64}, "this one does both"),
        ({"image": None, "image_uri": "s3://bucket/a.jpg", "image_digest": "0" * 64}, "needs image_bytes"),
        ({"image": None, "image_uri": "s3://bucket/a.jpg", "image_bytes": 7}, "needs image_bytes and image_digest"),
        (
            {"image": None, **CLAIM, "encoding": "raw", "raw": {"width": 2, "height": 4, "pixel_format": "mono8"}},
            "takes 8",
        ),
    ],
)
def test_a_frame_either_carries_its_picture_or_says_where_and_which_it_is(changes: dict[str, Any], words: str) -> None:
    fields = {name: value for name, value in frame_fields(**changes).items() if name != "image" or value}
    with pytest.raises(ValidationError, match=words):
        CameraFrame.model_validate(fields)
