"""The commented settings file that `inspector config --example` prints, made from the settings themselves."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inspector.settings.settings import CameraSettings, Settings

_HEAD = """\
# Settings of `inspector run` and of the other commands. `#name =` is a setting without a default.
# Precedence: command line > environment > this file > defaults. A setting's variable is INSPECTOR_ and its path, with two
# underscores for each dot: INSPECTOR_KAFKA__BOOTSTRAP_SERVERS. `inspector config --check FILE` says what is wrong.
"""

_CUT = "# Examples: give your own models and cameras, without the # in front."
# Examples, where there can be no defaults: two cameras, one of them with everything set.
_MODELS = {"cookie": "bundles/cookie"}
_CAMERAS: tuple[dict[str, object], ...] = (
    {"line_id": "line1", "camera_id": "top", "model": "cookie"},
    {
        "line_id": "line1",
        "camera_id": "side",
        "model": "cookie",
        "classification_threshold": 0.7,
        "partition": 1,
        "budget_ms": 500,
    },
)


def example_toml() -> str:
    """Return a valid settings file: every default written out, and one model and two cameras as comments."""
    defaults = Settings()
    values = {name: getattr(defaults, name) for name in Settings.model_fields}
    lines = [_HEAD]
    for name, field in Settings.model_fields.items():
        if not isinstance(values[name], BaseModel) and name not in {"models", "cameras"}:
            lines += _setting(name, field, values[name])
    for name, section in values.items():
        if isinstance(section, BaseModel):
            lines += ["", f"[{name}]", *_table(section)]
    lines += ["", _CUT, "", f"# {Settings.model_fields['models'].description}", "#[models]"]
    lines += [f"#{name} = {_toml(path)}" for name, path in _MODELS.items()]
    for camera in _CAMERAS:
        lines += ["", "#[[cameras]]"]
        for name, field in CameraSettings.model_fields.items():
            value = camera.get(name, field.get_default())
            lines += [line if line[:1] == "#" else f"#{line}" for line in _setting(name, field, value)]
    return "\n".join(lines) + "\n"


def _table(section: BaseModel) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        yield from _setting(name, field, getattr(section, name))


def _setting(name: str, field: FieldInfo, value: object) -> Iterator[str]:
    yield f"# {field.description}"
    yield f"#{name} =" if value is None else f"{name} = {_toml(value)}"


def _toml(value: object) -> str:
    """Return a value as TOML; its strings, numbers and booleans are written as JSON's."""
    return json.dumps(value, ensure_ascii=False)
