"""Golden bytes: reads `schemas/vectors/`. Run as a module, it packs new descriptions that have no bytes yet.

Independent of `schemas.codec` on purpose: the bytes are what plain msgpack makes of the description.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

import schemas

FOLDER = Path(schemas.__file__).with_name("vectors")
TABLES = {"headers.json", "result_ids.json"}
"""Files of examples without bytes of their own."""
MESSAGES: dict[str, type[schemas.Message]] = {
    "CameraFrame": schemas.CameraFrame,
    "DLResultMessage": schemas.DLResultMessage,
    "DeadLetter": schemas.DeadLetter,
    "ModelRelease": schemas.ModelRelease,
    "AuditRecord": schemas.AuditRecord,
    "ShadowResultMessage": schemas.ShadowResultMessage,
}


@dataclass(frozen=True)
class Vector:
    name: str
    message_type: type[schemas.Message]
    content: dict[str, Any]
    ignored_keys: list[str]
    refused: str | None
    path: Path

    @property
    def data(self) -> bytes:
        return self.path.read_bytes()

    @property
    def known(self) -> dict[str, Any]:
        """The content as a reader of this version sees it."""
        return {k: v for k, v in self.content.items() if k not in self.ignored_keys}


def read_vectors() -> list[Vector]:
    return [_read(path) for path in sorted(FOLDER.glob("*.json")) if path.name not in TABLES]


def pack(content: dict[str, Any]) -> bytes:
    packed: bytes = msgpack.packb(content)
    return packed


def _read(path: Path) -> Vector:
    described = json.loads(path.read_text("utf-8"), object_hook=_bytes)
    return Vector(
        name=path.stem,
        message_type=MESSAGES[described["message"]],
        content=described["content"],
        ignored_keys=described.get("ignored_keys", []),
        refused=described.get("refused"),
        path=path.with_suffix(".msgpack"),
    )


def _bytes(node: dict[str, Any]) -> Any:
    return bytes.fromhex(node["$hex"]) if node.keys() == {"$hex"} else node


if __name__ == "__main__":
    for vector in read_vectors():
        if not vector.path.exists():  # golden bytes are never rewritten
            vector.path.write_bytes(pack(vector.content))
            print(f"wrote {vector.path}")
