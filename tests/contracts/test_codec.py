from __future__ import annotations

import struct
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import (
    CameraFrame,
    ComponentMessage,
    DeadLetter,
    DLResultMessage,
    Identity,
    LimitExceededError,
    MalformedMessageError,
    Message,
    RecordSource,
    RegionMessage,
    SchemaError,
    WrongVersionError,
    codec,
    decode,
    encode,
    result_id_of,
)
from tests.contracts import messages

FRAME = CameraFrame(**messages.frame_fields())


def packed(**changes: Any) -> bytes:
    """A sound frame with changes that no writer of ours would make."""
    return bytes(msgpack.packb(FRAME.model_dump() | changes))


def nested(levels: int) -> bytes:
    return b"\x81\xa1a" * levels + b"\x01"


@given(messages.frames())
def test_a_frame_survives_the_wire(frame: CameraFrame) -> None:
    assert decode(CameraFrame, encode(frame)) == frame


@given(messages.results())
def test_a_result_survives_the_wire(result: DLResultMessage) -> None:
    assert decode(DLResultMessage, encode(result)) == result


@given(messages.deadletters())
def test_a_dead_letter_survives_the_wire(letter: DeadLetter) -> None:
    assert decode(DeadLetter, encode(letter)) == letter


@given(st.binary(max_size=300), st.sampled_from([CameraFrame, DLResultMessage, DeadLetter]))
def test_any_bytes_give_a_schema_error(value: bytes, message_type: type[Message]) -> None:
    with pytest.raises(SchemaError):
        decode(message_type, value)


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_message_decodes_or_gives_a_schema_error(data: st.DataObject) -> None:
    value = bytearray(encode(DLResultMessage(**messages.result_fields())))
    for _ in range(data.draw(st.integers(1, 4))):
        value[data.draw(st.integers(0, len(value) - 1))] = data.draw(st.integers(0, 255))
    try:
        result = decode(DLResultMessage, bytes(value))
    except SchemaError:
        return
    assert (result.line_id, result.part_id, result.seq) == ("line-1", "P-000042", 42), "the result_id covers these"


def test_the_largest_region_survives_the_wire() -> None:
    components = tuple(ComponentMessage(**messages.component_fields()) for _ in range(256))
    region = RegionMessage(
        width=800,
        height=600,
        counts=b"0" * (256 * 1024),
        area=100_000,
        num_components=9_000,
        components=components,
    )
    result = DLResultMessage(
        **messages.result_fields(anomaly_region=region, anomaly_score=1.0, anomaly_class="nok", anomaly_class_id=1)
    )
    assert decode(DLResultMessage, encode(result)) == result


def test_unknown_keys_are_ignored_at_every_level() -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump()
    expected = decode(DLResultMessage, msgpack.packb(content))
    for part in (content, content["source"], content["model"]):
        part["of_a_later_writer"] = [1, {"a": 2}]
    assert decode(DLResultMessage, msgpack.packb(content)) == expected


def test_a_writer_refuses_unknown_fields() -> None:
    with pytest.raises(ValueError, match="budget_ms"):
        CameraFrame(**messages.frame_fields(budget_ms=5))


@pytest.mark.parametrize("version", [0, 2, -1, 2**40])
def test_another_version_is_refused_before_the_content(version: int) -> None:
    with pytest.raises(WrongVersionError, match=f"version {version}, but this reader supports version 1") as caught:
        decode(CameraFrame, msgpack.packb({"v": version, "other": "content"}))
    assert caught.value.reason == "wrong_version"


@pytest.mark.parametrize("version", [True, 1.0, "1", None, [1]])
def test_a_version_that_is_no_integer_is_malformed(version: object) -> None:
    with pytest.raises(MalformedMessageError, match="no integer v"):
        decode(CameraFrame, packed(v=version))


def test_a_missing_version_is_malformed() -> None:
    content = FRAME.model_dump()
    del content["v"]
    with pytest.raises(MalformedMessageError, match="no integer v"):
        decode(CameraFrame, msgpack.packb(content))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encode(FRAME)[:-1], id="cut off"),
        pytest.param(encode(FRAME) + b"\x00", id="more behind"),
        pytest.param(b"\xc1", id="unused code"),
        pytest.param(msgpack.packb([1]), id="array"),
        pytest.param(msgpack.packb(1), id="number"),
        pytest.param(msgpack.packb({1: 1}), id="integer key"),
        pytest.param(packed(unknown=msgpack.ExtType(5, b"")), id="empty extension"),
        pytest.param(b"\x81\xa1v\xa1\xff", id="not UTF-8"),
        pytest.param(nested(600), id="nested"),
        pytest.param(nested(5000), id="nested deeply"),
        pytest.param(b"\x82\xa1v\x01\xa1v\x01", id="key twice"),
    ],
)
def test_what_is_no_message_is_malformed(value: bytes) -> None:
    with pytest.raises(MalformedMessageError) as caught:
        decode(CameraFrame, value)
    assert caught.value.reason == "malformed"


def test_a_repeated_key_never_lets_the_last_value_win() -> None:
    sound = encode(FRAME)
    twice = bytes([sound[0] + 1]) + sound[1:] + msgpack.packb("line_id") + msgpack.packb("other")
    assert sound[0] < 0x8F  # a short map: its length is in the first byte
    with pytest.raises(MalformedMessageError, match="twice"):
        decode(CameraFrame, twice)


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(dict.fromkeys(map(str, range(65)), 0), id="map"),
        pytest.param([0] * 257, id="array"),
        pytest.param("x" * 4097, id="string"),
        pytest.param(msgpack.ExtType(5, b"12"), id="extension"),
        pytest.param(msgpack.Timestamp(1), id="timestamp"),
        pytest.param([[[]] * 256] * 4, id="arrays"),
        pytest.param([[{}] * 256] * 4, id="maps"),
    ],
)
def test_limits_hold_for_ignored_keys_too(extra: object) -> None:
    with pytest.raises(LimitExceededError) as caught:
        decode(CameraFrame, packed(unknown=extra))
    assert caught.value.reason == "too_large"


@pytest.mark.parametrize(
    "extra",
    [
        pytest.param(dict.fromkeys(map(str, range(64)), 0), id="map"),
        pytest.param([0] * 256, id="array"),
        pytest.param("x" * 4096, id="string"),
        pytest.param([[[]] * 255] * 3, id="containers"),
    ],
)
def test_what_is_within_the_limits_passes(extra: object) -> None:
    assert decode(CameraFrame, packed(unknown=extra)) == FRAME


@pytest.mark.parametrize("leaf", [b"\x80", b"\x90"], ids=["maps", "arrays"])
def test_a_bomb_is_refused_after_a_bounded_number_of_containers(leaf: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten million empty containers in ten megabytes, no list longer than 256."""
    built = 0
    take_one = codec._Containers._take_one

    def counted(self: codec._Containers) -> None:
        nonlocal built
        built += 1
        take_one(self)

    monkeypatch.setattr(codec._Containers, "_take_one", counted)
    row = b"\xdc\x01\x00"
    bomb = b"\xdc\x00\x98" + (row + (row + leaf * 256) * 256) * 152
    assert len(bomb) > 10_000_000
    with pytest.raises(LimitExceededError, match="1024 maps and arrays"):
        decode(CameraFrame, bomb)
    assert built == codec.MAX_CONTAINERS + 1


def test_a_length_that_the_bytes_do_not_hold_allocates_nothing() -> None:
    with pytest.raises(SchemaError):
        decode(CameraFrame, b"\x81\xa1v\xc6" + struct.pack(">I", 60 * 1024 * 1024))


def test_a_value_over_the_callers_limit_is_not_read() -> None:
    value = encode(FRAME)
    assert decode(CameraFrame, value, max_bytes=len(value)) == FRAME
    with pytest.raises(LimitExceededError, match=f"larger than the limit of {len(value) - 1}"):
        decode(CameraFrame, value, max_bytes=len(value) - 1)


def test_a_message_over_the_limit_is_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    size = len(encode(FRAME))
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", size)
    assert len(encode(FRAME)) == size
    monkeypatch.setattr(codec, "MAX_MESSAGE_BYTES", size - 1)
    with pytest.raises(LimitExceededError, match=f"CameraFrame of {size} bytes is larger than the limit of {size - 1}"):
        encode(FRAME)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("field", ["anomaly_score", "classification_threshold", "segmentation_threshold"])
def test_non_finite_numbers_are_refused(field: str, value: float) -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump()
    with pytest.raises(MalformedMessageError, match=field):
        decode(DLResultMessage, msgpack.packb(content | {field: value}))


def test_a_field_that_is_too_long_exceeds_a_limit() -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump()
    content["stage_seconds"] = {f"stage_{i}": 0.0 for i in range(17)}
    with pytest.raises(LimitExceededError, match="stage_seconds"):
        decode(DLResultMessage, msgpack.packb(content))


def test_an_error_names_the_fields_and_never_quotes_the_image() -> None:
    with pytest.raises(MalformedMessageError, match=r"line_id: .*; .*seq: .*and 2 more") as caught:
        decode(CameraFrame, packed(line_id="a b", camera_id=5, seq=-1, encoding="gif", image="secret" * 100))
    assert "secret" not in str(caught.value)
    assert len(str(caught.value)) <= 500


def test_an_error_about_the_whole_says_so_and_three_are_named_before_they_are_counted() -> None:
    without = {name: value for name, value in FRAME.model_dump().items() if name != "image"}
    with pytest.raises(MalformedMessageError, match=r"^CameraFrame: message: a frame must contain its image"):
        decode(CameraFrame, msgpack.packb(without))
    with pytest.raises(MalformedMessageError) as caught:
        decode(CameraFrame, packed(line_id="a b", camera_id=5, seq=-1))
    assert [part.split(":")[0] for part in str(caught.value).split("; ")] == ["CameraFrame", "camera_id", "seq"]
    with pytest.raises(MalformedMessageError, match=r"seq: .*; and 1 more$"):
        decode(CameraFrame, packed(line_id="a b", camera_id=5, seq=-1, captured_at=-1))


def test_one_part_that_is_too_long_makes_it_a_matter_of_limits_whatever_else_is_wrong() -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump()
    content |= {"stage_seconds": {f"stage_{i}": 0.0 for i in range(17)}, "seq": -1}
    with pytest.raises(LimitExceededError) as caught:
        decode(DLResultMessage, msgpack.packb(content))
    assert caught.value.identity == messages.IDENTITY._replace(seq=None)


@pytest.mark.parametrize(("length", "shown"), [(500, "x" * 500), (501, "x" * 499 + "…")])
def test_the_text_of_an_error_is_cut_at_500_characters(length: int, shown: str) -> None:
    error = SchemaError("x" * length)
    assert (str(error), error.identity, error.reason) == (shown, Identity(), "malformed")


def test_an_error_says_what_msgpack_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MalformedMessageError, match=r"^CameraFrame is not msgpack: \S") as caught:
        decode(CameraFrame, b"\xc1")
    assert str(caught.value) == "CameraFrame is not msgpack: FormatError", "an error of msgpack without words"
    with pytest.raises(LimitExceededError, match=r"^CameraFrame: .*exceeds max_str_len"):
        decode(CameraFrame, packed(unknown="x" * 4097))
    with pytest.raises(MalformedMessageError, match=r"extension type 5 \(0 bytes\)"):
        decode(CameraFrame, packed(unknown=msgpack.ExtType(5, b"")))
    monkeypatch.setattr(codec, "MAX_CONTAINERS", 1)
    assert decode(CameraFrame, encode(FRAME)) == FRAME
    monkeypatch.setattr(codec, "MAX_CONTAINERS", 0)
    with pytest.raises(LimitExceededError, match="more than 0 maps and arrays"):
        decode(CameraFrame, encode(FRAME))


def test_an_error_is_short_whatever_the_sender_wrote() -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump() | {"stage_seconds": {"S" * 4000: 0.1}}
    with pytest.raises(MalformedMessageError, match=r"^DLResultMessage: stage_seconds\.SSSS") as caught:
        decode(DLResultMessage, msgpack.packb(content))
    assert len(str(caught.value)) == 500


def test_an_invalid_body_still_tells_whose_it_is() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        decode(CameraFrame, packed(encoding="gif", seq=-1, part_id="a/b"))
    assert caught.value.identity == Identity("line-1", "cam_A", None, None, messages.CAPTURED_AT)


def test_unreadable_bytes_tell_nothing() -> None:
    with pytest.raises(MalformedMessageError) as caught:
        decode(CameraFrame, b"\xc1")
    assert caught.value.identity == Identity()


def test_integers_are_never_taken_for_booleans_nor_strings_for_bytes() -> None:
    for changes in ({"is_simulated": 1}, {"image": "text"}, {"seq": True}, {"seq": 1.0}, {"line_id": b"line-1"}):
        with pytest.raises(MalformedMessageError, match=next(iter(changes))):
            decode(CameraFrame, packed(**changes))


def test_an_id_may_not_end_in_a_newline() -> None:
    with pytest.raises(MalformedMessageError, match="line_id"):
        decode(CameraFrame, packed(line_id="line-1\n"))


def test_whole_numbers_may_come_as_msgpack_integers() -> None:
    content = DLResultMessage(**messages.result_fields()).model_dump() | {"anomaly_score": 0}
    assert decode(DLResultMessage, msgpack.packb(content)).anomaly_score == 0.0


def test_two_records_never_share_an_identifier() -> None:
    other = RecordSource(topic="inspection.frames", partition=31, offset=234)
    assert result_id_of(Identity(), messages.SOURCE) != result_id_of(Identity(), other)
