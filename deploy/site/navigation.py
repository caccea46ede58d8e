"""The order of the pages in the site's side bar. A page that is not named here is taken in at the end, so a new page needs no line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "Roles": ("roles",),
        "Train models": (
            "training",
            "thresholds",
            "accuracy",
            "check",
            "labels",
            "pictures",
            "apply",
            "steps",
            "halcon",
        ),
        "Connect": ("camera", "actuator", "gate", "messages", "claim-check"),
        "Operate": (
            "operate",
            "settings",
            "metrics",
            "alerts",
            "dashboards",
            "releases",
            "archive",
            "access",
            "faults",
            "runbook",
            "throughput",
            "chaos",
            "factory",
        ),
        "Develop": ("commands", "api", "modules", "fuzz", "mutants", "traps", "decisions"),
    }
)
_LAST = "More"


def navigation_markdown(pages: Iterable[str]) -> str:
    """Return the tables of contents of all pages, by section.

    Args:
        pages: Paths below docs/ without their suffix: `gate`, `runbook/index`. A folder with an index is one entry, whose own
            pages are listed by `folder_markdown`; the pages of a folder without one are entries of their own.
    """
    entries = dict(_entries(set(pages)))
    known = {name for names in SECTIONS.values() for name in names}
    sections = {
        **{title: [page for name in names for page in entries.get(name, ())] for title, names in SECTIONS.items()},
        _LAST: [page for name, found in sorted(entries.items()) if name not in known for page in found],
    }
    return "\n".join(_toctree(title, found) for title, found in sections.items() if found)


def folder_markdown(index: str, pages: Iterable[str]) -> str:
    """Return the hidden table of contents of a folder's index; nothing for another page.

    Args:
        index: The page.
        pages: As in `navigation_markdown`.
    """
    folder = index.removesuffix("index")
    own = sorted(page for page in pages if page.startswith(folder) and page != index)
    return _toctree("", [f"/{page}" for page in own]) if folder and index.endswith("/index") else ""


def _entries(pages: set[str]) -> Iterator[tuple[str, list[str]]]:
    """What stands for each page of docs/ and for each folder in it."""
    for name in {page.partition("/")[0] for page in pages} - {"index"}:
        index = f"{name}/index"
        yield name, [index] if index in pages else sorted(p for p in pages if p == name or p.startswith(f"{name}/"))


def _toctree(caption: str, entries: Iterable[str]) -> str:
    head = f":caption: {caption}\n" if caption else ""
    return f"```{{toctree}}\n:hidden:\n{head}\n" + "".join(f"{entry}\n" for entry in entries) + "```\n"
