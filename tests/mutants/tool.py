"""mutmut, with what it changes fitted to this code; run as a program, in a room's workplace (`workplace.py`).

    python -P tool.py run PROCESSES    make the mutants and try them, in an order drawn by the seed: a run that is stopped tried a sample
    python -P tool.py forget           what no test noticed is tried again by the next run
    python -P tool.py outcome          print how many mutants the code has, and what became of each that was made, as JSON

mutmut writes all mutants of a function beside it, with a switch, imports everything once, and tries each in a process forked
from there, with those tests alone that call the function, the quickest first.

Left alone, besides what mutmut leaves alone: texts (strings and f-strings with a blank in them), whole and as arguments; what is
logged; `strict=` of zip. Properties and pydantic's validators, which mutmut leaves out, are changed.
"""

from __future__ import annotations

import hashlib
import json
import resource
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import libcst as cst
import mutmut.__main__ as command
from mutmut.mutation import file_mutation
from mutmut.mutation.data import SourceFileMutationData
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.mutation.file_mutation import Mutation, MutationVisitor, function_trampoline_arrangement
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import walk_mutatable_files
from mutmut.workers import isolation

MOST_BYTES: Final = 6 << 30
"""Of one process: a mutant that never stops collecting must not take the machine with it."""

DECORATORS: Final = {"classmethod", "model_serializer", "model_validator", "property", "staticmethod"}
"""Of functions that are changed."""

NOTICED: Final = ("killed", "timeout")
"""mutmut's words for a mutant that failed a test, or never ended."""


Arranged = tuple[Sequence[object], Sequence[object], Sequence[object], Sequence[str]]
"""Statements before a class, in it, and after it; and the mutants' names."""

PATIENCE: Final = 20.0
"""Times mutmut's time limit. A mutant that computes forever is ended by its limit of processor time; on a busy machine, how long one
that waits has waited says little."""


class Visitor(MutationVisitor):  # type: ignore[misc] # no types are taken from mutmut, which most environments lack
    """Finds what to change: all, or a share drawn by the seed."""

    share = 1.0
    seed = 1

    def __init__(self, *arguments: Any, **named: Any) -> None:
        """As mutmut's."""
        super().__init__(*arguments, **named)
        self.found = 0

    def _skip_node_and_children(self, node: cst.CSTNode) -> bool:
        if isinstance(node, cst.FunctionDef) and node.decorators:
            return not {_decorator_name(decorator) for decorator in node.decorators} <= DECORATORS
        return _is_text(node) or _is_logging(node) or _is_strict(node) or super()._skip_node_and_children(node)

    def _create_mutations(self, node: cst.CSTNode) -> None:
        known = len(self.mutations)
        super()._create_mutations(node)
        new = self.mutations[known:]
        self.mutations[known:] = [one for one in new if not _spares(one) and self._draws(one)]

    def _draws(self, mutation: Mutation) -> bool:
        """Tell whether the mutation is one of the sample; what is not in a function is changed by nobody."""
        function = mutation.contained_by_top_level_function
        if not isinstance(function, cst.FunctionDef):
            return False
        self.found += 1
        return _drawn(self.seed, f"{function.name.value} {self.found}") < self.share


def _drawn(seed: int, name: str) -> float:
    """Return a number in [0, 1) that hangs on both alone."""
    return int.from_bytes(hashlib.sha256(f"{seed} {name}".encode()).digest()[:6], "big") / (1 << 48)


def _decorator_name(decorator: cst.Decorator) -> str:
    named = decorator.decorator.func if isinstance(decorator.decorator, cst.Call) else decorator.decorator
    return named.value if isinstance(named, cst.Name) else ""


def _is_text(node: cst.CSTNode) -> bool:
    """Tell whether people read it: a string with a blank, whatever it is put together from."""
    if isinstance(node, cst.SimpleString):
        return " " in node.value
    if isinstance(node, cst.FormattedString):
        return any(isinstance(part, cst.FormattedStringText) and " " in part.value for part in node.parts)
    return isinstance(node, cst.ConcatenatedString) and (_is_text(node.left) or _is_text(node.right))


def _is_logging(node: cst.CSTNode) -> bool:
    return (
        isinstance(node, cst.Call)
        and isinstance(node.func, cst.Attribute)
        and isinstance(node.func.value, cst.Name)
        and node.func.value.value == "log"
    )


def _is_strict(node: cst.CSTNode) -> bool:
    return isinstance(node, cst.Arg) and node.keyword is not None and node.keyword.value == "strict"


def _spares(mutation: Mutation) -> bool:
    """Tell whether a call lost, or has None for, an argument that is a text or `strict`."""
    before, after = mutation.original_node, mutation.mutated_node
    if not isinstance(before, cst.Call) or not isinstance(after, cst.Call):
        return False
    kept = {id(argument) for argument in after.args}
    return any(_is_text(lost.value) or _is_strict(lost) for lost in before.args if id(lost) not in kept)


def arrange(function: cst.FunctionDef, mutants: Sequence[Mutation], class_name: str | None) -> Arranged:
    """Write a function's mutants beside it. A property's or validator's are plain functions behind its one decorated name."""
    plain = {_decorator_name(decorator) for decorator in function.decorators} in ({"classmethod"}, {"staticmethod"})
    if not function.decorators or plain:
        arranged: Arranged = function_trampoline_arrangement(function, mutants, class_name)
        return arranged
    declared, (switch, *others), assigned, names = function_trampoline_arrangement(
        function.with_changes(decorators=()), mutants, class_name
    )
    switch = switch.with_changes(decorators=[*function.decorators, *switch.decorators])
    return declared, [switch, *others], assigned, names


def run(processes: str) -> None:
    """Make and try the mutants."""
    register = isolation.register_timeout
    # mutmut tries first what takes least.
    command.estimated_worst_case_time = lambda name: _drawn(Visitor.seed, name)
    # Those that are new ran a moment ago, to see which calls what; one that failed has ended the run.
    isolation.ForkRunner.run_clean_tests = lambda _runner, tests: 0
    isolation.register_timeout = lambda pid, timeout_s: register(pid, PATIENCE * timeout_s)
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_BYTES, MOST_BYTES))
    command.cli(["run", "--max-children", processes])


def forget() -> None:
    """Have the next run try again what no test noticed; mutmut looks itself which tests are new, and what they call."""
    for data in _files():
        for name, code in data.exit_code_by_key.items():
            if status_by_exit_code[code] not in NOTICED:
                data.exit_code_by_key[name] = None
        data.save()


def count() -> int:
    """Return how many mutants the code has."""
    Visitor.share = 1.0
    paths = sorted(walk_mutatable_files())
    return sum(len(file_mutation.create_mutations(str(path), path.read_text(encoding="utf-8"))[1]) for path in paths)


def outcome() -> Iterator[dict[str, str]]:
    """Yield each mutant's function and status; of those that no test noticed also the line before and after."""
    for data in _files():
        for name, code in data.exit_code_by_key.items():
            status = status_by_exit_code[code]
            found = {"function": _function(name), "status": status}
            if status not in NOTICED:
                lines = get_diff_for_mutant(name, path=data.path).splitlines()
                for key, sign in (("before", "-"), ("after", "+")):
                    changed = (line for line in lines if line.startswith(sign) and not line.startswith(3 * sign))
                    found[key] = " ".join(line[1:].strip() for line in changed)
            yield found


def _function(mutant: str) -> str:
    """`inspector.inflight.lease.xǁLeaseǁtake__mutmut_3` -> `inspector.inflight.lease.Lease.take`."""
    module, _, name = mutant.partition("__mutmut_")[0].rpartition(".")
    return f"{module}.{name.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def _files() -> Iterator[SourceFileMutationData]:
    for path in sorted(walk_mutatable_files()):
        data = SourceFileMutationData(path=path)
        data.load()
        yield data


def main(arguments: Sequence[str]) -> None:
    """Do what the first argument says; `draw.json` has share and seed."""
    file_mutation.MutationVisitor = Visitor
    file_mutation.function_trampoline_arrangement = arrange
    draw = json.loads(Path("draw.json").read_text(encoding="utf-8"))
    Visitor.share, Visitor.seed = draw["share"], draw["seed"]
    match arguments:
        case ["run", processes]:
            run(processes)
        case ["forget"]:
            forget()
        case ["outcome"]:
            found = list(outcome())
            json.dump({"mutants": count(), "found": found}, sys.stdout)
        case _:
            raise SystemExit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
