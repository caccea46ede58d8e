"""The base of every stored parameter object."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
"""Of names that stand in a bundle: of a model, its version, a preprocessing step."""


class Parameters(BaseModel):
    """Base of every stored parameter object: frozen, unknown keys refused, no NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
