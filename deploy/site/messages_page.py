"""The tables of docs/messages.md: every field of every message, read from the JSON Schema."""

from __future__ import annotations

import json
from typing import Any

from deploy.site.cells import cell
from schemas.base import Message
from schemas.generate import MESSAGES, json_schema


def message_markdown(message: type[Message]) -> str:
    """Return the description and the table of a message, and a section for each of its parts that no message before it has."""
    schema = json.loads(json_schema(message))
    before = MESSAGES[: MESSAGES.index(message)]
    known = {name for one in before for name in json.loads(json_schema(one)).get("$defs", {})}
    parts = [_table(schema)]
    for name, part in schema.get("$defs", {}).items():
        if name not in known and "properties" in part:
            parts.append(f"### {name}\n\n{_table(part)}")
    return "\n".join(parts)


def _table(schema: dict[str, Any]) -> str:
    required = set(schema.get("required", ()))
    about = "\n\n".join(" ".join(part.split()) for part in schema.get("description", "").split("\n\n"))
    rows = "".join(
        f"| `{field}` | {cell(_kind(found))} | {'yes' if field in required else 'no'} | {cell(found.get('description', ''))} |\n"
        for field, found in schema["properties"].items()
    )
    return f"{about}\n\n| field | type | required | meaning |\n|---|---|---|---|\n{rows}"


def _kind(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        kind = " or ".join(dict.fromkeys(_kind(one) for one in schema["anyOf"]))
    elif "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        kind = f"[{name}](#{name.lower()})"
    elif "enum" in schema or "const" in schema:
        kind = " or ".join(f"`{value}`" for value in schema.get("enum", [schema.get("const")]))
    elif schema.get("type") == "array":
        kind = f"list of {_kind(schema.get('items', {}))}"
    else:
        kind = "bytes" if schema.get("format") == "binary" else schema.get("type", "any")
    return kind + _limits(schema)


def _limits(schema: dict[str, Any]) -> str:
    words = {
        "minimum": "at least {}",
        "exclusiveMinimum": "above {}",
        "maximum": "at most {}",
        "exclusiveMaximum": "below {}",
        "minLength": "at least {} long",
        "maxLength": "at most {} long",
        "minItems": "at least {} of them",
        "maxItems": "at most {} of them",
        "pattern": "`{}`",
    }
    found = [text.format(schema[key]) for key, text in words.items() if key in schema]
    return "".join(f", {text}" for text in found)
