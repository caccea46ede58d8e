"""The sources of the site: the pages of docs/ with what is generated filled in, and the files of the repository that they link to.

A page asks for generated text by a line `<!-- generated: NAME -->`.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Final

from deploy.site.api_page import clients_markdown, face_markdown
from deploy.site.commands_page import commands_markdown
from deploy.site.links import DOCS, rewritten, site_path, targets
from deploy.site.messages_page import message_markdown
from deploy.site.modules_page import modules_markdown
from deploy.site.navigation import folder_markdown, navigation_markdown
from deploy.site.settings_page import settings_markdown
from schemas.base import Message
from schemas.generate import MESSAGES


def _section_of(message: type[Message], _: Path) -> str:
    return message_markdown(message)


GENERATED: Final[Mapping[str, Callable[[Path], str]]] = MappingProxyType(
    {
        "settings": lambda _: settings_markdown(),
        "modules": modules_markdown,
        "commands": lambda _: commands_markdown(),
        "trainerFace": lambda root: face_markdown("trainer", root),
        "anomalyFace": lambda root: face_markdown("inspector.anomaly", root),
        "schemasFace": lambda root: face_markdown("schemas", root),
        "clients": lambda _: clients_markdown(),
    }
    | {message.__name__: partial(_section_of, message) for message in MESSAGES}
)
_MARK = re.compile(r"^<!-- generated: ([A-Za-z]+) -->$", re.MULTILINE)


def write_sources(root: Path, out: Path) -> None:
    """Write what Sphinx reads.

    Args:
        root: The repository.
        out: A folder, which is emptied first.

    Raises:
        FileNotFoundError: A page links to a file that is not there; the message names both.
        KeyError: A page asks for a generated text that nobody makes.
    """
    shutil.rmtree(out, ignore_errors=True)
    waiting = sorted(path.relative_to(root).as_posix() for path in (root / DOCS).rglob("*.md"))
    pages = [site_path(path).removesuffix(".md") for path in waiting]
    known = set(waiting)
    while waiting:
        path = waiting.pop()
        text = _text(root, path)
        target = out / site_path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.startswith(f"{DOCS}/"):
            text = _MARK.sub(lambda match: GENERATED[match[1]](root), text) + folder_markdown(
                site_path(path)[:-3], pages
            )
            if path == f"{DOCS}/index.md":
                text += navigation_markdown(pages)
        else:
            text = f"---\norphan: true\n---\n{text}"
        target.write_text(rewritten(text, path, lambda place: (root / place).is_dir()), encoding="utf-8")
        for linked in targets(text, path):
            page = f"{linked}/index.md" if (root / linked).is_dir() else linked
            if page in known:
                continue
            known.add(page)
            if not (root / linked).exists():
                raise FileNotFoundError(f"{path} links to {linked}, which is not there")
            if page.endswith(".md"):
                waiting.append(page)
            else:
                _copy(root / linked, out / site_path(linked))


def _text(root: Path, path: str) -> str:
    """The text of a page; that of a folder is a list of its files."""
    source = root / path
    if source.exists():
        return source.read_text(encoding="utf-8")
    folder = source.parent
    names = sorted(file.name for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    return f"# {folder.relative_to(root)}/\n\n" + "".join(f"- [{name}]({name})\n" for name in names)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
