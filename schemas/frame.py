"""A picture on its way to the inspector: the value of a record of the frames topic."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal, Self

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from schemas.base import MAX_BUDGET_US, CaptureTimeUs, Count, Digest, Id, ImageSide, Message, StrictModel
from schemas.identity import Identity
from schemas.image_uri import MAX_URI_CHARACTERS

ImageEncoding = Literal["jpeg", "png", "raw"]
PixelFormat = Literal["mono8", "mono16", "rgb8", "bgr8"]

MAX_IMAGE_BYTES = 64 * 1024 * 1024
"""The contract's own limit; a deployment sets its limit below it (8 MiB by default)."""

BYTES_PER_PIXEL: dict[PixelFormat, int] = {"mono8": 1, "mono16": 2, "rgb8": 3, "bgr8": 3}


def image_digest(image: bytes) -> str:
    """Return the SHA-256 of the image bytes as sent, in lower-case hexadecimal.

    SHA-256 because every language and every camera's controller has it, processors have instructions for it
    (about 0.1 ms for 200 kB), and one value serves both to notice a flipped bit and to find the picture in an archive.
    """
    return hashlib.sha256(image).hexdigest()


class RawFormat(StrictModel):
    """Layout of an uncompressed image: rows from top to bottom, no padding, mono16 little-endian."""

    width: ImageSide
    height: ImageSide
    pixel_format: PixelFormat

    @property
    def num_bytes(self) -> int:
        """Bytes of one image in this layout."""
        return self.width * self.height * BYTES_PER_PIXEL[self.pixel_format]


class CameraFrame(Message):
    """One picture of one part, as taken by one camera.

    The frame either carries its picture (`image`), or names it in a store (`image_uri`); then `image_bytes` and
    `image_digest` say which picture it is. `raw` is present exactly when `encoding` is `raw`, and then the length of the
    picture must agree with it. `image_digest` is optional beside `image` but recommended: most flipped bits in a JPEG decode
    without an error. The digest is not checked on reading, see `is_intact`.
    """

    line_id: Id
    camera_id: Id
    part_id: Id
    seq: Annotated[Count, Field(description="Counts the pictures of this camera")]
    captured_at: CaptureTimeUs
    budget_us: Annotated[int, Field(ge=1, le=MAX_BUDGET_US)] | None = Field(
        None, description="The verdict is due this many µs after captured_at; null: the inspector's setting"
    )
    encoding: ImageEncoding
    raw: RawFormat | None = None
    image: Annotated[
        bytes, Field(min_length=1, max_length=MAX_IMAGE_BYTES, description="msgpack bin; absent with image_uri")
    ] = b""
    image_digest: Digest | None = None
    image_uri: Annotated[str, Field(min_length=1, max_length=MAX_URI_CHARACTERS)] | None = Field(
        None,
        description="Place of the picture instead of `image`: s3://bucket/path or file:///path, as the inspector allows",
    )
    image_bytes: Annotated[int, Field(ge=1, le=MAX_IMAGE_BYTES)] | None = Field(
        None, description="Length of the picture that image_uri names; absent without it"
    )
    is_simulated: bool = Field(False, description="Not a real part: a test picture or a replay")

    @property
    def identity(self) -> Identity:
        """The identity fields, all known."""
        return Identity(self.line_id, self.camera_id, self.part_id, self.seq, self.captured_at)

    def is_intact(self) -> bool:
        """Whether `image` is the one that the camera sent; true also where the camera sent no digest.

        Takes about 0.1 ms for 200 kB and releases the interpreter lock meanwhile.
        """
        return self.image_digest is None or self.image_digest == image_digest(self.image)

    @model_serializer(mode="wrap")
    def _leave_out_the_other_way(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Write the keys of one way alone: what carries its picture is, byte for byte, what it was before there were claims."""
        fields: dict[str, Any] = handler(self)
        absent = ("image_uri", "image_bytes") if self.image_uri is None else ("image",)
        return {name: value for name, value in fields.items() if name not in absent}

    @model_validator(mode="after")
    def _check_image(self) -> Self:
        if self.image_uri is None:
            if not self.image:
                raise ValueError("a frame must contain its image or name it in image_uri; this one does neither")
            if self.image_bytes is not None:
                raise ValueError("image_bytes may only be given with image_uri; the length of image is known")
        elif self.image:
            raise ValueError("a frame must contain its image or name it in image_uri; this one does both")
        elif self.image_bytes is None or self.image_digest is None:
            raise ValueError("image_uri needs image_bytes and image_digest, which identify the picture")
        return self

    @model_validator(mode="after")
    def _check_raw(self) -> Self:
        if self.raw is None:
            if self.encoding == "raw":
                raise ValueError("encoding is raw, so raw must contain width, height and pixel_format")
            return self
        if self.encoding != "raw":
            raise ValueError(f"raw may only be given with encoding raw, not {self.encoding}")
        num_bytes = len(self.image) if self.image_bytes is None else self.image_bytes
        if num_bytes != self.raw.num_bytes:
            raise ValueError(
                f"image has {num_bytes} bytes, but {self.raw.width} x {self.raw.height} "
                f"{self.raw.pixel_format} takes {self.raw.num_bytes}"
            )
        return self
