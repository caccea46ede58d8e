"""The tables of docs/settings.md: every setting of the inspector, read from the settings classes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import to_jsonable_python

from deploy.site.cells import cell
from inspector.settings.settings import CameraSettings, Settings

_FIRST, _LISTS = "Before the first table", {"models", "cameras"}


def settings_markdown() -> str:
    """Return a table for each table of the settings file, in the order of the file."""
    fields = Settings.model_fields
    defaults = Settings()
    sections = {name: getattr(defaults, name) for name in fields if isinstance(getattr(defaults, name), BaseModel)}
    plain = {name for name in fields if name not in sections}
    parts = [_section(_FIRST, "Settings of the process as a whole.", Settings, plain - _LISTS)]
    for name, section in sections.items():
        about = (type(section).__doc__ or "").strip().partition("\n")[0]
        parts.append(_section(f"[{name}]", about, type(section), set(type(section).model_fields)))
    parts.append(f'## [models]\n\n{fields["models"].description}. Each line is `NAME = "FOLDER"`.\n')
    parts.append(
        _section("[[cameras]]", "One table for each camera.", CameraSettings, set(CameraSettings.model_fields))
    )
    return "\n".join(parts)


def _section(title: str, about: str, model: type[BaseModel], names: set[str]) -> str:
    return f"## {title}\n\n{about}\n\n| setting | value | default | meaning |\n|---|---|---|---|\n" + "".join(
        f"| `{name}` | {cell(_kind(schema))} | {cell(_default(model, name))} | {cell(schema.get('description', ''))} |\n"
        for name, schema in _properties(model)
        if name in names
    )


def _properties(model: type[BaseModel]) -> Iterator[tuple[str, dict[str, Any]]]:
    schema = model.model_json_schema()
    definitions = schema.get("$defs", {})
    for name, found in schema["properties"].items():
        reference = found.get("$ref", "").rpartition("/")[2]
        yield name, definitions.get(reference, {}) | found


def _kind(schema: dict[str, Any]) -> str:
    """What the value is, in words: `integer, at least 1`."""
    kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    return " or ".join(dict.fromkeys(_one_kind(kind) for kind in kinds))


def _one_kind(schema: dict[str, Any]) -> str:
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    name = {"path": "path", "file-path": "path", "password": "secret"}.get(
        schema.get("format", ""), schema.get("type", "any")
    )
    limits = [
        f"{words} {schema[key]:g}"
        for key, words in (
            ("minimum", "at least"),
            ("exclusiveMinimum", "above"),
            ("maximum", "at most"),
            ("exclusiveMaximum", "below"),
        )
        if key in schema
    ]
    return ", ".join([name, *limits])


def _default(model: type[BaseModel], name: str) -> str:
    field = model.model_fields[name]
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True)
    if value is None or value == ():
        return "none"
    return (
        f"`{json.dumps(to_jsonable_python(value if not isinstance(value, Path) else str(value)), ensure_ascii=False)}`"
    )
