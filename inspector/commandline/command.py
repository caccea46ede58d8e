"""Command lines made from pydantic models: each field is an option, in its group, with its value and default in the help.

What comes back is what was given, as text and nothing besides: whoever asked lays it over environment and file and lets
the model judge the whole. So a value has one check and one sentence, wherever it came from. Only argparse's public names.
"""

from __future__ import annotations

import argparse
import difflib
import importlib.metadata
import inspect
import re
import shutil
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from inspector.commandline.option import Option, options_of

_SECRET = re.compile("passw|token|secret", re.IGNORECASE)
"""What is given to a misspelt option of such a name is not repeated."""


@dataclass(frozen=True)
class Command:
    """One command of a program.

    Attributes:
        options: The model whose fields are the options and whose docstring is the help.
        more: Gives a second model of options, which help takes longer to load; called only for the command that was named.
        is_kebab: Names are typed with dashes instead of underscores.
        can_negate: Each flag has a `--no-` form too: of use where an environment or a file may have set it.
    """

    options: type[BaseModel]
    more: Callable[[], type[BaseModel]] | None = None
    is_kebab: bool = True
    can_negate: bool = False

    def all_options(self) -> list[Option]:
        """Every option, in the order of the fields."""
        models = [self.options] if self.more is None else [self.options, self.more()]
        return [option for model in models for option in options_of(model, is_kebab=self.is_kebab)]


@dataclass(frozen=True)
class Given:
    """What was typed.

    Attributes:
        command: Name of the command.
        values: The tree of what was given and nothing else, by the aliases or names of the fields: texts and lists of
            texts, True and False, None where `None` was typed for an optional value.
        options: What could have been given.
    """

    command: str
    values: dict[str, Any]
    options: Sequence[Option]

    def spelt(self, place: tuple[int | str, ...]) -> str:
        """Spell a place of the tree as it is typed; nothing where it is no option's."""
        return next((option.spelling for option in self.options if option.path == place[: len(option.path)]), "")


def parse_command(program: str, description: str, commands: Mapping[str, Command], arguments: Sequence[str]) -> Given:
    """Read a command line.

    Raises:
        SystemExit: Wrong usage (2), or help was asked for (0); both are printed.
    """
    parser = argparse.ArgumentParser(prog=program, description=description, allow_abbrev=False)
    parser.add_argument(
        "--version", action="version", version=f"{program} {_version()}" if "--version" in arguments else ""
    )
    choices = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = parser
    options: list[Option] = []
    for name, command in commands.items():
        about = _paragraphs(command.options)
        if name not in arguments[:1]:
            choices.add_parser(name, help=_escaped(about[0]))
            continue
        options = command.all_options()
        named = choices.add_parser(
            name,
            help=_escaped(about[0]),
            usage=_escaped(_usage(f"{program} {name}", options)),
            description=_wrapped(about),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            argument_default=argparse.SUPPRESS,
            allow_abbrev=False,
        )
        for group in dict.fromkeys(option.group for option in options):
            section = (
                named
                if group is None
                else named.add_argument_group(group.title, group.about and _wrapped([group.about], indent=2))
            )
            for option in options:
                if option.group == group:
                    names, keywords = option.as_argument(can_negate=command.can_negate)
                    section.add_argument(*names, **keywords)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        named.error(_unknown(unknown, options))
    return Given(arguments[0], _tree(vars(given), options), options)


def _version() -> str:
    try:
        return importlib.metadata.version("line-inspector")
    except importlib.metadata.PackageNotFoundError:
        return "(of a checkout that is not installed)"


def _tree(given: Mapping[str, object], options: Sequence[Option]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for option in options:
        if option.key in given:
            table = tree
            for part in option.path[:-1]:
                table = table.setdefault(part, {})
            table[option.path[-1]] = option.as_given(given[option.key])
    return tree


def _usage(program: str, options: Sequence[Option]) -> str:
    """One line: the options are listed below it anyway."""
    required = [
        f"{option.name} {option.value}" for option in options if option.is_required and not option.is_positional
    ]
    positional = [
        (option.value if option.is_required else f"[{option.value}]") + " ..." * option.is_list
        for option in options
        if option.is_positional
    ]
    return " ".join([program, *required, "[options]", *positional])


def _unknown(unknown: Sequence[str], options: Sequence[Option]) -> str:
    typed = unknown[0].partition("=")[0]
    close = difflib.get_close_matches(typed, [option.name for option in options if not option.is_positional], n=1)
    words = unknown
    if _SECRET.search(" ".join([*close, typed])):
        words = [word.partition("=")[0] for word in unknown if word.startswith("-")] + ["..."]
    return f"unrecognized arguments: {' '.join(words)}" + (f"; did you mean {close[0]}?" if close else "")


def _paragraphs(model: type[BaseModel]) -> list[str]:
    return [" ".join(paragraph.split()) for paragraph in (inspect.getdoc(model) or model.__name__).split("\n\n")]


def _wrapped(paragraphs: Sequence[str], *, indent: int = 0) -> str:
    width = shutil.get_terminal_size().columns - 2 - indent  # as argparse wraps everything else
    return "\n\n".join(textwrap.fill(paragraph, width) for paragraph in paragraphs)


def _escaped(text: str) -> str:
    """The text as argparse takes usage and help, where a % begins a name."""
    return text.replace("%", "%%")
