"""Parameter objects that refuse values with the error of their own stage, not with pydantic's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from pydantic import ModelWrapValidatorHandler, ValidationError, model_validator

from inspector.anomaly.parameters import Parameters
from schemas.refusal import refusals
from trainer.errors import TrainerError


class StageParameters(Parameters):
    """Base of the parameter objects of one stage: an unknown or invalid parameter raises the stage's `refusal`.

    A `refusal` is no ValueError: pydantic would make its own of it.
    """

    refusal: ClassVar[type[TrainerError]] = TrainerError

    @model_validator(mode="wrap")
    @classmethod
    def _refuse_by_name(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401 - pydantic's
        if isinstance(data, Mapping) and (unknown := sorted(set(data) - set(cls.model_fields))):
            raise cls.refusal(
                f"unknown parameter {', '.join(unknown)}; {cls.__name__} knows {', '.join(cls.model_fields)}"
            )
        try:
            param = handler(data)
        except ValidationError as error:
            raise cls.refusal("; ".join(refusals(error, echoes_input=True))) from error
        param.check_consistency()
        return param

    def check_consistency(self) -> None:
        """Refuse parameters that are valid each but not together; a validator's error would be pydantic's own."""
