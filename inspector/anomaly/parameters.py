"""The base of every stored parameter object, and how its refusals are put into words."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
"""Of names that stand in a bundle: of a model, its version, a preprocessing step."""


class Parameters(BaseModel):
    """Base of every stored parameter object: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def first_problem(error: ValidationError) -> str:
    """Return the first refusal as `field: what is wrong with it`."""
    first = error.errors(include_url=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    problem = str(first["msg"]).removeprefix("Value error, ")
    return f"{where}: {problem}" if where else problem
