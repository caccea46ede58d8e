from __future__ import annotations

import hashlib
import json
from typing import Any

import jsonschema
import msgpack
import pytest

from schemas import (
    CameraFrame,
    DLResultMessage,
    SchemaError,
    decode,
    decode_rle,
    encode,
    frame_headers,
    result_headers,
    result_id_of_frame,
    result_id_of_record,
)
from schemas.generate import json_schema
from tests.contracts.vectors import FOLDER, Vector, pack, read_vectors

VECTORS = read_vectors()
SOUND = [v for v in VECTORS if v.refused is None]
REFUSED = [v for v in VECTORS if v.refused is not None]
RESULT_IDS = json.loads((FOLDER / "result_ids.json").read_text("utf-8"))
HEADERS = json.loads((FOLDER / "headers.json").read_text("utf-8"))


def names(vector: Vector) -> str:
    return vector.name


def test_bytes_and_descriptions_come_in_pairs() -> None:
    assert {p.stem for p in FOLDER.glob("*.msgpack")} == {v.name for v in VECTORS}
    assert len(SOUND) >= 14
    assert len(REFUSED) >= 4


@pytest.mark.parametrize("vector", VECTORS, ids=names)
def test_the_bytes_hold_what_the_description_says(vector: Vector) -> None:
    assert msgpack.unpackb(vector.data) == vector.content
    assert vector.data == pack(vector.content)


@pytest.mark.parametrize("vector", SOUND, ids=names)
def test_the_golden_bytes_are_still_read(vector: Vector) -> None:
    message = decode(vector.message_type, vector.data)
    dumped = msgpack.unpackb(encode(message))
    assert {k: dumped[k] for k in vector.known} == vector.known


@pytest.mark.parametrize("vector", [v for v in SOUND if not v.ignored_keys], ids=names)
def test_the_golden_bytes_are_still_written(vector: Vector) -> None:
    if vector.name == "frame_optional_keys_absent":
        assert len(encode(decode(vector.message_type, vector.data))) > len(vector.data)
    else:
        assert encode(decode(vector.message_type, vector.data)) == vector.data


@pytest.mark.parametrize("vector", REFUSED, ids=names)
def test_what_must_be_refused_is_refused(vector: Vector) -> None:
    with pytest.raises(SchemaError) as caught:
        decode(vector.message_type, vector.data)
    assert caught.value.reason == vector.refused


@pytest.mark.parametrize("vector", SOUND, ids=names)
def test_the_json_schema_accepts_the_content(vector: Vector) -> None:
    as_json = json.loads(json.dumps(vector.content, default=lambda data: data.decode("latin-1")))
    jsonschema.validate(as_json, json.loads(json_schema(vector.message_type)))


def test_the_json_schema_refuses_another_version() -> None:
    vector = next(v for v in VECTORS if v.name == "frame_other_version")
    as_json = json.loads(json.dumps(vector.content, default=lambda data: data.decode("latin-1")))
    with pytest.raises(jsonschema.ValidationError, match="1 was expected"):
        jsonschema.validate(as_json, json.loads(json_schema(vector.message_type)))


@pytest.mark.parametrize("case", RESULT_IDS, ids=lambda case: case["result_id"])
def test_result_ids_are_the_golden_ones(case: dict[str, object]) -> None:
    fields, hashed = case["fields"], case["hashed"]
    assert isinstance(fields, list)
    assert isinstance(hashed, dict)
    made = result_id_of_frame(*fields) if case["of"] == "frame" else result_id_of_record(*fields)
    assert made == case["result_id"]
    assert hashlib.blake2b(bytes.fromhex(hashed["$hex"]), digest_size=16).hexdigest() == case["result_id"]


@pytest.mark.parametrize("case", HEADERS, ids=lambda case: case["of"])
def test_headers_are_the_golden_ones(case: dict[str, Any]) -> None:
    vector = next(v for v in SOUND if v.name == case["of"])
    message = decode(vector.message_type, vector.data)
    assert isinstance(message, CameraFrame | DLResultMessage)
    headers = frame_headers(message) if isinstance(message, CameraFrame) else result_headers(message)
    assert {name: value.decode("ascii") for name, value in headers} == case["headers"]
    assert case.get("key", "None/None") == f"{message.line_id}/{message.camera_id}"


def test_the_region_of_the_vector_is_where_its_description_says() -> None:
    vector = next(v for v in SOUND if v.name == "result_inspected_nok_region")
    region = vector.content["anomaly_region"]
    mask = decode_rle(region["counts"], region["height"], region["width"])
    found = {divmod(i, region["width"]) for i, value in enumerate(mask) if value}
    assert found == {(row, column) for row in (1, 2) for column in (2, 3, 4)} | {(5, 7)}
