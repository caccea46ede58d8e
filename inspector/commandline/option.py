"""One option of a command line, made from the field of a model: its name, its value, and its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from inspector.commandline.reading import read_objects, read_or_nothing, read_table

_VALUES: Final[Mapping[object, str]] = {int: "N", float: "X", Path: "PATH", datetime: "TIME"}


@dataclass(frozen=True)
class Argument:
    """How a field is typed where its type does not say it; in its annotation: `Annotated[Path, Argument("DIR")]`.

    Attributes:
        value: What help calls the value.
        is_positional: Given by its place, without a name.
    """

    value: str | None = None
    is_positional: bool = False


class OptionGroup(NamedTuple):
    """A section of the help.

    Attributes:
        title: Its head.
        about: What stands under it, or nothing.
    """

    title: str
    about: str | None = None


@dataclass(frozen=True)
class Option:
    """A field as it stands on a command line.

    Attributes:
        path: Keys from the model to the field, by alias where it has one.
        name: As it is typed, with its dashes.
        field: Gives type, default and description.
        group: Its section of the help; None: that of the options without one.
    """

    path: tuple[str, ...]
    name: str
    field: FieldInfo
    group: OptionGroup | None

    @property
    def key(self) -> str:
        """Its name among what argparse has read."""
        return ".".join(self.path)

    @property
    def is_positional(self) -> bool:
        """Given by its place, without a name."""
        return self._argument.is_positional

    @property
    def spelling(self) -> str:
        """What a sentence about it calls it."""
        return self.value if self.is_positional else self.name

    @property
    def is_required(self) -> bool:
        """There is no default."""
        return self.field.is_required()

    @property
    def is_list(self) -> bool:
        """It may be given again and again."""
        return get_origin(self._type) in {list, tuple}

    @property
    def value(self) -> str:
        """What help calls the value: `PATH`, `N`, `{padim,student}`."""
        if self._argument.value is not None:
            return self._argument.value
        if get_origin(self._type) is dict:
            return f"NAME={_value(get_args(self._type)[1])}"
        return _value(get_args(self._type)[0] if self.is_list else self._type)

    @property
    def _argument(self) -> Argument:
        return next((mark for mark in self.field.metadata if isinstance(mark, Argument)), Argument())

    @property
    def _type(self) -> Any:  # noqa: ANN401 - a type, or what typing makes of one
        return _members(self.field.annotation)[0]

    def as_argument(self, *, can_negate: bool) -> tuple[tuple[str, ...], dict[str, Any]]:
        """Return what argparse's `add_argument` is called with.

        A required option is not required here: environment or file may have it, and the model judges the whole.
        """
        keywords: dict[str, Any] = {"help": self._help().replace("%", "%%")}
        if self._type is bool:
            keywords |= {"dest": self.key, "action": argparse.BooleanOptionalAction if can_negate else "store_true"}
            return (self.name,), keywords
        keywords |= {"metavar": self.value, "type": self._reader()}
        if self.is_positional:
            may_be_absent = {} if self.is_required else {"nargs": "?"}
            return (self.key,), keywords | ({"nargs": "+"} if self.is_list else may_be_absent)
        is_many = self.is_list or get_origin(self._type) is dict
        action = "append" if keywords["type"] is str else "extend"
        keywords |= {"dest": self.key} | ({"action": action} if is_many else {})
        return (self.name,), keywords

    def as_given(self, read: Any) -> object:  # noqa: ANN401 - argparse's
        """What argparse has read, as the model takes it."""
        return dict(read) if get_origin(self._type) is dict else read

    def _help(self) -> str:
        text, default = self.field.description or "", self.field.default
        if self.is_required:
            return text if self.is_positional else f"{text} (required)"
        if self.field.default_factory is not None or default is None or default is False or default in ((), ""):
            return text
        return f"{text} (default: {'on' if default is True else default})"

    def _reader(self) -> Callable[[str], object]:
        if get_origin(self._type) is dict:
            return read_table
        if self.is_list:
            return read_objects if _is_model(get_args(self._type)[0]) else str
        return read_or_nothing if NoneType in _members(self.field.annotation) else str


def options_of(
    model: type[BaseModel], *, is_kebab: bool, above: tuple[str, ...] = (), group: OptionGroup | None = None
) -> Iterator[Option]:
    """Every field as an option; a field that holds a model is a group of its own."""
    for name, field in model.model_fields.items():
        path = (*above, str(field.validation_alias or name))
        if _is_model(field.annotation):
            about = (field.annotation.__doc__ or "").partition("\n\n")[0] or None
            yield from options_of(field.annotation, is_kebab=is_kebab, above=path, group=OptionGroup(path[-1], about))
        else:
            typed = "--" + ".".join(path)
            yield Option(path, typed.replace("_", "-") if is_kebab else typed, field, group or _own_group(model, name))


def _own_group(model: type[BaseModel], name: str) -> OptionGroup | None:
    """The group that is named by the class that brings the field, with the class attribute `title`."""
    owner = [base for base in model.__mro__ if issubclass(base, BaseModel) and name in base.model_fields][-1]
    title = vars(owner).get("title")
    return OptionGroup(title) if isinstance(title, str) else None


def _members(annotation: Any) -> list[Any]:  # noqa: ANN401 - a type, or what typing makes of one
    """The types that an annotation allows, unwrapped."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _members(get_args(annotation)[0])
    if origin in {Union, UnionType}:
        return [member for part in get_args(annotation) for member in _members(part)]
    return [annotation]


def _is_model(annotation: Any) -> TypeGuard[type[BaseModel]]:  # noqa: ANN401 - a type, or what typing makes of one
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _value(annotation: Any) -> str:  # noqa: ANN401 - a type, or what typing makes of one
    kind = _members(annotation)[0]
    if get_origin(kind) is Literal:
        return "{" + ",".join(map(str, get_args(kind))) + "}"
    return "JSON" if _is_model(kind) else _VALUES.get(kind, "TEXT")
