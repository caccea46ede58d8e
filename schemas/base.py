"""What all messages share: strict frozen models, the version rule, limits and the types of common fields.

Writers are strict: a misspelt field, a number of the wrong type or a NaN never leaves the process. Readers
(`schemas.codec.decode`) ignore unknown keys within a version, so that a field may be added, and refuse another version.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

MAX_INTEGER = 2**53 - 1
"""Largest integer of any message: exact in every language, JavaScript's and JSON's doubles included."""

MAX_BUDGET_US = 24 * 3600 * 1_000_000
"""Longest time budget of a frame: one day."""

MAX_CAPTURED_AT = MAX_INTEGER - MAX_BUDGET_US
"""Latest capture time; a deadline behind it still fits `MAX_INTEGER`."""

ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$"
TOPIC_PATTERN = r"^[A-Za-z0-9._-]{1,249}$"
DIGEST_PATTERN = r"^[0-9a-f]{64}$"
RESULT_ID_PATTERN = r"^[0-9a-f]{32}$"

Id = Annotated[str, Field(pattern=ID_PATTERN, description="1 to 64 of A-Z a-z 0-9 _ -")]
Topic = Annotated[str, Field(pattern=TOPIC_PATTERN, description="Name of a Kafka topic")]
Digest = Annotated[str, Field(pattern=DIGEST_PATTERN, description="SHA-256 in lower-case hexadecimal")]
ResultId = Annotated[str, Field(pattern=RESULT_ID_PATTERN, description="BLAKE2b-128 in lower-case hexadecimal")]
Count = Annotated[int, Field(ge=0, le=MAX_INTEGER)]
TimeUs = Annotated[int, Field(ge=0, le=MAX_INTEGER, description="µs since 1970-01-01 UTC")]
CaptureTimeUs = Annotated[int, Field(ge=0, le=MAX_CAPTURED_AT, description="µs since 1970-01-01 UTC")]
ImageSide = Annotated[int, Field(ge=1, le=65_535, description="pixels")]


class StrictModel(BaseModel):
    """A frozen record without implicit conversions, unknown fields, NaN or infinity."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        hide_input_in_errors=True,  # an error must not print eight megabytes of image
        revalidate_instances="never",
        ser_json_bytes="hex",
        ser_json_inf_nan="strings",
    )


class Message(StrictModel):
    """A message that is the value of one Kafka record.

    Adding an optional field keeps the version. Anything that an old reader would misunderstand, a new value of an
    enumeration included, raises it.
    """

    VERSION: ClassVar[int] = 1

    v: Literal[1] = 1


class RecordSource(StrictModel):
    """Where in Kafka the frame was read."""

    topic: Topic
    partition: Annotated[int, Field(ge=0, le=2**31 - 1)]
    offset: Count
