"""From the command line, the environment and a TOML file to `Settings`, with a sentence for everything that is wrong.

Precedence: command line > environment (`INSPECTOR_KAFKA__BOOTSTRAP_SERVERS`) > file > default.
"""

from __future__ import annotations

import copy
import difflib
import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from pydantic import BaseModel, ValidationError
from pydantic_settings import EnvSettingsSource, SettingsError

from inspector.errors import ConfigError
from inspector.settings.settings import ENV_PREFIX, CameraSettings, Settings
from schemas.refusal import Place, dotted, refusals


def load_settings(path: Path | None = None, *, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read, merge and check the settings.

    Args:
        path: a TOML file, or None for defaults and environment alone. Relative paths in it are relative to its folder.
        overrides: what the command line says, as a tree (`{"kafka": {"group_id": "x"}}`); wins over everything.

    Raises:
        ConfigError: with one sentence for each thing wrong, naming the setting.
    """
    _refuse_unknown_environment(os.environ)
    data = {} if path is None else _read_file(path)
    try:
        environment = EnvSettingsSource(Settings)()
    except SettingsError as exc:  # a variable for a list or a table that does not hold JSON
        raise ConfigError(f"environment: {exc}; lists and tables are given as JSON") from exc
    origins = (("command line", overrides or {}), ("environment", environment), (str(path), copy.deepcopy(data)))
    _merge(data, environment)
    _merge(data, overrides or {})
    try:
        return Settings.model_validate(data)
    except ValidationError as exc:
        sentences = refusals(exc, name=lambda place: _origin(place, origins) + dotted(place), unknown=_is_no_setting)
        raise ConfigError("\n".join(sentences)) from exc


def _origin(location: Place, origins: Iterable[tuple[str, Mapping[str, Any]]]) -> str:
    """Name the place that the setting was read from; nothing where it is a default, or a matter of several settings."""
    for name, tree in origins:
        value: Any = tree
        for part in location:
            if not isinstance(value, Mapping) or part not in value:
                break
            value = value[part]
            if isinstance(value, (list, tuple)):
                return f"{name}: "
        else:
            if location:
                return f"{name}: "
    return ""


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    """Lay `over` upon `base`: tables are merged, everything else (lists too) is replaced."""
    for key, value in over.items():
        below = base.get(key)
        if isinstance(below, dict) and isinstance(value, Mapping):
            _merge(below, value)
        else:
            base[key] = value


def _read_file(path: Path) -> dict[str, Any]:
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as exc:
        raise ConfigError(
            f"{path}: the file does not exist; `inspector config --example` prints one to start from"
        ) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{path}: cannot be read: {exc}") from exc
    except tomllib.TOMLDecodeError as exc:
        raise ConfigError(f"{path}: is not TOML: {exc}") from exc
    _anchor(data.get("models"), path.parent, keys=None)
    if isinstance(data.get("trusted_keys"), list):
        data["trusted_keys"] = [str(path.parent / key) if isinstance(key, str) else key for key in data["trusted_keys"]]
    _anchor(data.get("kafka"), path.parent, keys=("ssl_cafile", "ssl_certfile", "ssl_keyfile", "sasl_password_file"))
    _anchor(data.get("releases"), path.parent, keys=("cache",))
    _anchor(data.get("store"), path.parent, keys=("secret_access_key_file",))
    _anchor(data.get("archive"), path.parent, keys=("secret_access_key_file",))
    if isinstance(archive := data.get("archive"), dict) and "://" not in str(archive.get("url", "://")):
        _anchor(archive, path.parent, keys=("url",))
    _anchor(data.get("http"), path.parent, keys=("tls_certfile", "tls_keyfile", "token_file"))
    return data


def _anchor(table: object, folder: Path, *, keys: Iterable[str] | None) -> None:
    """Make the table's relative paths relative to the file's folder; leaves anything that is not a path for validation to refuse."""
    if not isinstance(table, dict):
        return
    entries = cast("dict[str, object]", table)
    for key in list(entries) if keys is None else keys:
        value = entries.get(key)
        if isinstance(value, str):
            entries[key] = str(folder / value)


def _refuse_unknown_environment(environment: Mapping[str, str]) -> None:
    for name in environment:
        if name.upper().startswith(ENV_PREFIX):
            first = name[len(ENV_PREFIX) :].lower().split("__")[0]
            if first not in Settings.model_fields:
                raise ConfigError(
                    f"environment variable {name}: {first!r} is not a setting{_suggest(first, Settings.model_fields)}"
                )


def _suggest(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _known_keys(location: Place) -> Iterable[str]:
    """Names that may stand at this place of the tree."""
    model: type[BaseModel] = Settings
    for part in location:
        if part == "cameras":
            return CameraSettings.model_fields
        field = model.model_fields.get(str(part))
        if field is None or not isinstance(field.annotation, type) or not issubclass(field.annotation, BaseModel):
            break
        model = field.annotation
    return model.model_fields


def _is_no_setting(location: Place) -> str:
    return f"is not a setting{_suggest(str(location[-1]), _known_keys(location[:-1]))}"
