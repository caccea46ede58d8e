"""How `trainer COMMAND --help` reads: options by group, short names for their values, one line of usage."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable

from trainer.settings.fit import FitSettings
from trainer.settings.source import Group

_VALUES = {"int": "N", "float": "X", "str": "TEXT", "Path": "PATH", "datetime": "TIME"}
_KIND = re.compile(r"\b(int|float|str|Path|datetime)\b")
_NOTHING = re.compile(r"\s*\(default: (None|\(\)|False)\)")


def _groups() -> dict[str, str]:
    """The title of each option's group, in the order in which help shows them."""
    found: dict[str, str] = {}
    for group in reversed(FitSettings.__mro__):
        if issubclass(group, Group):
            own = [name for name in group.__annotations__ if name in FitSettings.model_fields]
            aliases = {name: FitSettings.model_fields[name].validation_alias for name in own}
            found |= {str(aliases[name] or name): group.title for name in own}
    return found


class GroupedHelp(argparse.RawDescriptionHelpFormatter):
    """argparse's formatter, with a section for each group of options."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """One line: the options are listed below it anyway."""
        actions = list(actions)
        if usage is None and any(action.option_strings and action.dest != "help" for action in actions):
            positional = [action for action in actions if not action.option_strings]
            names = " ".join(f"{action.metavar}{' ...' * (action.nargs is not None)}" for action in positional)
            required = " ".join(
                f"{action.option_strings[0]} {_value(action)}"
                for action in actions
                if action.required and action.option_strings
            )
            usage = " ".join(filter(None, ("%(prog)s", required, "[options]", names)))
        super().add_usage(usage, actions, groups, prefix)

    def add_arguments(self, actions: Iterable[argparse.Action]) -> None:
        """Add actions, those of a known group in a section of their own."""
        titles = _groups()
        sections: dict[str, list[argparse.Action]] = {title: [] for title in titles.values()}
        others: list[argparse.Action] = []
        for action in actions:
            if action.option_strings:
                action.metavar = None if action.nargs == 0 else _value(action)
                action.help = _NOTHING.sub("", action.help or "")
            title = titles.get(action.dest.rpartition(".")[2])
            (others if title is None or not action.option_strings else sections[title]).append(action)
        super().add_arguments(others)
        for title, members in sections.items():
            if members:
                self.end_section()
                self.start_section(title)
                super().add_arguments(members)


def _value(action: argparse.Action) -> str:
    metavar = action.metavar if isinstance(action.metavar, str) else ""
    found = _KIND.search(metavar)
    if metavar.startswith("{") and not found:  # choices
        return metavar
    return _VALUES[found[1]] if found else metavar or "VALUE"
