"""Messages to bytes and back: msgpack maps with string keys, read under explicit limits.

msgpack's own limits follow the length of the input: ten megabytes of empty maps cost hundreds of megabytes of memory.
So this module limits lengths and the number of containers, whatever the size of the input.
"""

from __future__ import annotations

from typing import Any, NoReturn, TypeVar

import msgpack
from pydantic import ValidationError

from schemas.base import Message
from schemas.errors import LimitExceededError, MalformedMessageError, WrongVersionError
from schemas.identity import Identity, identity_of_fields
from schemas.refusal import dotted, refusals

M = TypeVar("M", bound=Message)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024 + 16 * 1024
"""Largest message: the largest image, and room for the rest."""

MAX_MAP_LENGTH = 64
MAX_ARRAY_LENGTH = 256
MAX_STRING_BYTES = 4096
MAX_CONTAINERS = 1024
"""Maps and arrays in one message; a result with 256 components has about 260."""

_PACK_BUFFER_BYTES = 64 * 1024
_LENGTH_ERRORS = frozenset({"too_long", "string_too_long", "bytes_too_long"})
_SHOWN_ERRORS = 3


def encode(message: Message) -> bytes:
    """Return the bytes of a message; the keys come in the order of the fields, null ones included but for `deployment` and `trial`.

    Thread safe.

    Raises:
        LimitExceededError: More than `MAX_MESSAGE_BYTES` long.
    """
    packed: bytes = msgpack.packb(message.model_dump(), use_bin_type=True, buf_size=_PACK_BUFFER_BYTES)
    if len(packed) > MAX_MESSAGE_BYTES:
        raise LimitExceededError(
            f"{type(message).__name__} of {len(packed)} bytes is larger than the limit of {MAX_MESSAGE_BYTES} bytes"
        )
    return packed


def decode(message_type: type[M], value: bytes, *, max_bytes: int = MAX_MESSAGE_BYTES) -> M:
    """Return the message that the bytes hold.

    Unknown keys are ignored; duplicate keys are refused. Binary fields are copied once. Thread safe.

    Args:
        message_type: The message that the topic carries; nothing in the bytes names it.
        value: Value of the Kafka record.
        max_bytes: Refuse a longer value unread.

    Raises:
        MalformedMessageError: Not msgpack, or it breaks a rule of the contract.
        WrongVersionError: `v` is an integer, but not the version that this reader knows.
        LimitExceededError: Too long, or with too long or too many parts.
    """
    name = message_type.__name__
    if len(value) > max_bytes:
        raise LimitExceededError(f"{name} of {len(value)} bytes is larger than the limit of {max_bytes} bytes")
    content = _unpack(name, value)
    version = content.get("v")
    if type(version) is not int:
        raise MalformedMessageError(f"{name} has no integer v (the version of the message format)")
    if version != message_type.VERSION:
        raise WrongVersionError(
            f"{name} has version {version}, but this reader supports version {message_type.VERSION}"
        )
    try:
        return message_type.model_validate(content, extra="ignore")
    except ValidationError as exc:
        _raise_invalid(name, exc, identity_of_fields(content))


class _Containers:
    """Builds maps and counts containers while msgpack reads one message."""

    __slots__ = ("_left",)

    def __init__(self) -> None:
        self._left = MAX_CONTAINERS

    def array(self, items: tuple[Any, ...]) -> tuple[Any, ...]:
        self._take_one()
        return items

    def map(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        self._take_one()
        built = dict(pairs)
        if len(built) != len(pairs):
            raise MalformedMessageError("a map contains a key twice")
        return built

    def _take_one(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise LimitExceededError(f"more than {MAX_CONTAINERS} maps and arrays in one message")


def _refuse_extension(code: int, data: bytes) -> NoReturn:
    raise MalformedMessageError(f"msgpack extension type {code} ({len(data)} bytes) is not part of the message format")


def _unpack(name: str, value: bytes) -> dict[str, Any]:
    containers = _Containers()
    try:
        content = msgpack.unpackb(
            value,
            use_list=False,
            raw=False,
            strict_map_key=True,
            object_pairs_hook=containers.map,
            list_hook=containers.array,
            ext_hook=_refuse_extension,
            max_map_len=MAX_MAP_LENGTH,
            max_array_len=MAX_ARRAY_LENGTH,
            max_str_len=MAX_STRING_BYTES,
            max_bin_len=MAX_MESSAGE_BYTES,
            max_ext_len=0,
        )
    except (msgpack.UnpackException, ValueError) as exc:
        text = str(exc) or type(exc).__name__
        if "exceeds max_" in text:
            raise LimitExceededError(f"{name}: {text}") from exc
        raise MalformedMessageError(f"{name} is not msgpack: {text}") from exc
    if not isinstance(content, dict):
        raise MalformedMessageError(f"{name} is not a msgpack map")
    return content


def _raise_invalid(name: str, exc: ValidationError, identity: Identity) -> NoReturn:
    """Turn pydantic's report into one bounded sentence, without the values."""
    sentences = refusals(exc, name=lambda place: dotted(place) or "message")
    shown = "; ".join(sentences[:_SHOWN_ERRORS])
    more = f"; and {len(sentences) - _SHOWN_ERRORS} more" if len(sentences) > _SHOWN_ERRORS else ""
    is_too_long = any(error["type"] in _LENGTH_ERRORS for error in exc.errors(include_input=False))
    kind = LimitExceededError if is_too_long else MalformedMessageError
    raise kind(f"{name}: {shown}{more}", identity=identity) from exc
