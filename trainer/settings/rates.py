"""The one parser of rates, in every option that takes one: a share such as 0.05, or percent such as 5%. Loads no torch.

With the sign %, a rate is percent in every option. Without it, a number is a share from 0 to 1; in the two options called `-percent` it is
percent, and a number between 0 and 1 is refused, because it may be meant as a share.
"""

from __future__ import annotations

import math
from typing import Annotated, Final

from pydantic import BeforeValidator, Field

_WHOLE: Final = 100


def read_share(given: object) -> object:
    """A rate as a share, of text `0.05`, `5%` or `5 %`, with point or comma; what is no text is left as it is.

    Raises:
        ValueError: It is no number, or one above 1 without a sign.
    """
    if not isinstance(given, str):
        return given
    number, is_percent = _number(given)
    if is_percent:
        return number / _WHOLE
    if number > 1:
        raise ValueError(f"a share lies between 0 and 1; write {number:g}% if that is percent, or {number / _WHOLE:g}")
    return number


def read_percent(given: object) -> object:
    """A rate as percent, of text `60`, `60%` or `60 %`; what is no text is left as it is.

    Raises:
        ValueError: It is no number, or one that may be meant as a share.
    """
    if not isinstance(given, str):
        return given
    number, is_percent = _number(given)
    if not is_percent and 0 < number < 1:
        raise ValueError(
            f"this option is in percent; write {number * _WHOLE:g}% if {number:g} is a share, or {number:g}% if it is percent"
        )
    return number


def _number(text: str) -> tuple[float, bool]:
    plain = text.strip().removesuffix("%")
    is_percent = plain != text.strip()
    try:
        number = float(plain.strip().replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError("a rate is a share such as 0.05, or percent such as 5%")
    return number, is_percent


Share = Annotated[float, BeforeValidator(read_share)]
"""The option gives its bounds."""

Percent = Annotated[float, BeforeValidator(read_percent), Field(ge=0, le=_WHOLE)]
