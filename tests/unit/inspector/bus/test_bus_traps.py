"""Calls of aiokafka that are traps are not made, wherever in the service: read out of its source."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

INSPECTOR = Path(__file__).parents[4] / "inspector"
GROUP_READERS = ("bus/consumer.py",)
"""Who reads as a member of a group; the others have their partitions by name."""


@cache
def calls(path: Path) -> list[tuple[str, ast.Call, ast.AST | None]]:
    """Every call of a method: its name, the call, and what it stands in."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    parents = {child: parent for parent in ast.walk(tree) for child in ast.iter_child_nodes(parent)}
    return [
        (node.func.attr, node, parents.get(node))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    ]


@pytest.mark.parametrize("name", GROUP_READERS)
def test_partitions_of_a_group_are_not_paused_and_reads_of_them_end_by_themselves(name: str) -> None:
    found = {called: (call, parent) for called, call, parent in calls(INSPECTOR / name)}
    assert not {"pause", "resume", "getone"} & set(found), "a pause throws away what was fetched"
    call, parent = found["getmany"]
    assert isinstance(parent, ast.Await), "not inside wait_for, which would cancel it"
    assert "timeout_ms" in {keyword.arg for keyword in call.keywords}
    assert any(isinstance(argument, ast.Starred) for argument in call.args), "the partitions are named"


def test_the_service_begins_no_transaction() -> None:
    words = {"begin_transaction", "send_offsets_to_transaction", "commit_transaction", "transaction"}
    named = {
        (path.name, keyword.arg)
        for path in INSPECTOR.rglob("*.py")
        for _, call, _ in calls(path)
        for keyword in call.keywords
        if keyword.arg in {"transactional_id", "group_instance_id"}
    }
    called = {(path.name, name) for path in INSPECTOR.rglob("*.py") for name, _, _ in calls(path) if name in words}
    assert (named, called) == (set(), set())


def test_every_commit_names_its_offsets() -> None:
    commits = [call for name, call, _ in calls(INSPECTOR / "bus/consumer.py") if name == "commit"]
    assert commits
    assert all(call.args for call in commits), "a bare one commits what was read, not what was answered"


def test_the_page_of_traps_names_modules_and_tests_that_there_are() -> None:
    root = INSPECTOR.parent
    rows = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (root / "docs/traps.md").read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and not line.startswith("| trap ")
    ]
    tests = {
        name
        for path in (root / "tests").rglob("test_*.py")
        for name in re.findall(r"^ *(?:async )?def (\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(rows) >= 18, "those of reliability.md, and what was found since"
    for trap, avoided, tested in rows:
        modules = re.findall(r"`(inspector/[\w/]+\.py)`", avoided)
        assert modules, trap
        assert [module for module in modules if not (root / module).exists()] == []
        named = re.findall(r"`(test_\w+)`", tested)
        assert named, trap
        assert [name for name in named if name not in tests] == []
