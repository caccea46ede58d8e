"""The AsyncAPI document is valid, and what it refers to is there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from inspector.settings.topics import TopicSettings
from schemas import generate

DOCUMENT = json.loads(generate.ASYNCAPI_FILE.read_text("utf-8"))
RULES = json.loads((Path(__file__).parent / "asyncapi/3.0.0.json").read_text("utf-8"))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from ([node["$ref"]] if "$ref" in node else [])
        node = list(node.values())
    if isinstance(node, list):
        for part in node:
            yield from references(part)


def test_it_is_valid_by_the_schema_of_asyncapi_3() -> None:
    jsonschema.Draft7Validator(RULES).validate(DOCUMENT)


def test_the_schema_refuses_what_is_no_asyncapi_document() -> None:
    broken = json.loads(json.dumps(DOCUMENT))
    broken["operations"]["send_results"]["action"] = "shout"
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft7Validator(RULES).validate(broken)


def test_every_reference_leads_somewhere() -> None:
    found = list(references(DOCUMENT))
    assert len(found) > len(generate.MESSAGES)
    for reference in found:
        file, _, pointer = reference.partition("#")
        if file:
            assert (generate.ASYNCAPI_FILE.parent / file).is_file(), reference
        node = DOCUMENT
        for step in pointer.split("/")[1:]:
            node = node[step]


def test_every_message_is_in_it_and_every_topic_has_its_default_name() -> None:
    payloads = {message["payload"]["$ref"] for message in DOCUMENT["components"]["messages"].values()}
    assert payloads == {f"json/{message.__name__}.json" for message in generate.MESSAGES}
    topics = TopicSettings()
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert {topics.frames_topic, topics.results_topic("line1", "cam1"), topics.deadletters_topic} <= addresses
