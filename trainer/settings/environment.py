"""A command's settings from the environment: `TRAINER_FIT__SEED=1` is `--seed 1` of `trainer fit`."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, create_model
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as InvalidEnvironmentError

from trainer.errors import SettingsError

PREFIX: Final = "TRAINER_"
BETWEEN: Final = "__"


class _Environment(BaseSettings):
    """How the variables are called."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_nested_delimiter=BETWEEN)


def read_environment(command: str, settings: type[BaseModel]) -> dict[str, Any]:
    """Return what the environment gives of a command's settings, unchecked.

    Raises:
        SettingsError: A variable for a list or a table does not hold JSON.
    """
    fields: Any = {command: (settings, ...)}
    names = create_model("Environment", __base__=_Environment, **fields)
    try:
        found: dict[str, Any] = EnvSettingsSource(names)().get(command, {})
    except InvalidEnvironmentError as error:
        raise SettingsError(f"environment: {error}; lists and tables are given as JSON") from error
    return found


def variable(command: str, setting: str) -> str:
    """Name of the variable of a command's setting."""
    return f"{PREFIX}{command}{BETWEEN}{setting}".upper()
