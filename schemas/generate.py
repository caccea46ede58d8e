"""Writes the JSON Schema of each message and the AsyncAPI document: `python -m schemas.generate`; `--check` only compares.

The schemas describe the content of the msgpack map, with msgpack's bin as a string of format `binary`. They cannot say
everything: the rules between fields are in each message's description.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.base import Message
from schemas.deadletter import DeadLetter
from schemas.frame import CameraFrame
from schemas.headers import FRAME_HEADERS, HEARTBEAT_HEADERS, RESULT_HEADERS
from schemas.releases.audit import AuditRecord
from schemas.releases.release import ModelRelease
from schemas.releases.shadow import SHADOW_HEADERS, ShadowResultMessage
from schemas.result import DLResultMessage

JSON_FOLDER = Path(__file__).with_name("json")
MESSAGES: tuple[type[Message], ...] = (
    CameraFrame,
    DLResultMessage,
    DeadLetter,
    ModelRelease,
    AuditRecord,
    ShadowResultMessage,
)


ASYNCAPI_FILE = Path(__file__).with_name("asyncapi.json")
# Topic, its message, what the inspector does with it, its headers, and what it is for.
_TOPICS: tuple[tuple[str, type[Message], str, tuple[str, ...], str], ...] = (
    ("frames", CameraFrame, "receive", FRAME_HEADERS, "Pictures of parts, from the cameras"),
    ("results", DLResultMessage, "send", RESULT_HEADERS, "One verdict for each picture"),
    ("deadletters", DeadLetter, "send", (), "Frames that could not be inspected"),
    (
        "heartbeats",
        DLResultMessage,
        "send",
        HEARTBEAT_HEADERS,
        "Verdicts on a picture of the model itself, if asked for",
    ),
    ("shadow", ShadowResultMessage, "send", SHADOW_HEADERS, "What a model on trial says; no verdicts"),
    ("models", ModelRelease, "receive", (), "Which model judges a camera; compacted"),
    ("audit", AuditRecord, "send", (), "Who changed which model judges a camera, and what became of it"),
)


def asyncapi_document() -> str:
    """Return the topics and their messages as an AsyncAPI 3 document, from the inspector's point of view; the text of a file."""
    channels, operations, messages = {}, {}, {}
    for topic, message, action, headers, about in _TOPICS:
        name = message.__name__ if topic != "heartbeats" else "Heartbeat"
        channels[topic] = {
            "address": f"inspection.{topic}",
            "description": f"{about}. The beginning of the name is a setting.",
            "messages": {name: {"$ref": f"#/components/messages/{name}"}},
        }
        operations[f"{action}_{topic}"] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{topic}"},
            "messages": [{"$ref": f"#/channels/{topic}/messages/{name}"}],
        }
        messages[name] = {
            "name": name,
            "summary": about,
            "contentType": "application/msgpack",
            "payload": {"$ref": f"json/{message.__name__}.json"},
            "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
        }
        if headers:
            texts = {header: {"type": "string", "description": "ASCII text"} for header in headers}
            messages[name]["headers"] = {"type": "object", "properties": texts}
    document = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "line-inspector",
            "version": "1",
            "description": "Values of Kafka records are msgpack maps; the schemas describe their content. docs/messages.md has the rules.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/msgpack",
        "servers": {"kafka": {"host": "localhost:9092", "protocol": "kafka"}},
        "channels": channels,
        "operations": operations,
        "components": {"messages": messages},
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def json_schema(message_type: type[Message]) -> str:
    """Return the JSON Schema of what a reader accepts, as the text of a file."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **_open(message_type.model_json_schema(mode="validation")),
    }
    schema["required"] = ["v", *schema["required"]]  # a default for writers, but readers insist on it
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def stale_files(folder: Path = JSON_FOLDER) -> list[Path]:
    """Return the files that are missing or differ from what the models say now."""
    return [path for path, text in _files(folder).items() if not path.exists() or path.read_text("utf-8") != text]


def write_files(folder: Path = JSON_FOLDER) -> list[Path]:
    """Write the files that are stale and return their paths."""
    folder.mkdir(exist_ok=True)
    stale = stale_files(folder)
    for path in stale:
        path.write_text(_files(folder)[path], "utf-8")
    return stale


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns 1 if `--check` found a stale file."""
    parser = argparse.ArgumentParser(prog="python -m schemas.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if a file is stale")
    parser.add_argument("--folder", type=Path, default=JSON_FOLDER, help="default: %(default)s")
    options = parser.parse_args(arguments)
    if options.check:
        stale = stale_files(options.folder)
        for path in stale:
            sys.stdout.write(f"{path} is stale: run python -m schemas.generate\n")
        return 1 if stale else 0
    for path in write_files(options.folder):
        sys.stdout.write(f"wrote {path}\n")
    return 0


def _files(folder: Path) -> dict[Path, str]:
    schemas = {folder / f"{message.__name__}.json": json_schema(message) for message in MESSAGES}
    return schemas | {folder.with_name(ASYNCAPI_FILE.name): asyncapi_document()}


def _open(node: Any) -> Any:  # noqa: ANN401 - any JSON value
    """Allow unknown keys: only writers refuse them."""
    if isinstance(node, dict):
        return {k: _open(v) for k, v in node.items() if not (k == "additionalProperties" and v is False)}
    if isinstance(node, list):
        return [_open(v) for v in node]
    return node


if __name__ == "__main__":
    raise SystemExit(main())
