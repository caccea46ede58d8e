"""Where the links of a page lead on the site.

A page of docs/ may link to any file of the repository, as it does for a reader of the repository. On the site these files lie
in the folder `repository/`, so that no link leaves it. Pure.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable

DOCS = "docs"
OUTSIDE = "repository"

# Code is matched first, so that what looks like a link in it stays as it is.
_LINK = re.compile(
    r"(?P<code>^(?P<fence>`{3,}).*?^(?P=fence)|`[^`\n]+`)|(?P<before>\]\(<?)(?P<target>[^)\s>]+)",
    re.MULTILINE | re.DOTALL,
)
_ELSEWHERE = re.compile(r"[a-z][a-z0-9+.-]*:|//|#")


def site_path(path: str) -> str:
    """Return where a file of the repository lies on the site: `docs/gate.md` is `gate.md`, `README.md` is `repository/README.md`."""
    below = posixpath.relpath(path, DOCS)
    return posixpath.join(OUTSIDE, path) if below.startswith("..") else below


def targets(markdown: str, path: str) -> list[str]:
    """Return the files and folders of the repository that a page links to, in order.

    Args:
        markdown: The page.
        path: Its path in the repository.
    """
    found: list[str] = []

    def note(target: str) -> str:
        found.append(target)
        return target

    _replaced(markdown, path, note)
    return found


def rewritten(markdown: str, path: str, is_folder: Callable[[str], bool]) -> str:
    """Return the page with links that hold on the site.

    Args:
        markdown: The page.
        path: Its path in the repository.
        is_folder: Whether a path of the repository is a folder; the site has a list of its files.
    """
    here = posixpath.dirname(site_path(path)) or "."

    def link(target: str) -> str:
        place = site_path(target)
        return posixpath.relpath(posixpath.join(place, "index.md") if is_folder(target) else place, here)

    return _replaced(markdown, path, link)


def _replaced(markdown: str, path: str, link: Callable[[str], str]) -> str:
    def replace(match: re.Match[str]) -> str:
        target = match["target"]
        if match["code"] is not None or _ELSEWHERE.match(target):
            return match[0]
        file, mark, anchor = target.partition("#")
        resolved = posixpath.normpath(posixpath.join(posixpath.dirname(path), file))
        return f"{match['before']}{link(resolved)}{mark}{anchor}"

    return _LINK.sub(replace, markdown)
