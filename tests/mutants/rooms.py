"""The rooms whose code is changed, and the tests that are to notice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Room:
    """A folder of code, and the unit tests of it and of what is built on it alone. No test of these needs Kafka, a network or a GPU.

    Attributes:
        name: What the command line calls it, and its file in tests/mutants/results.
        folder: The code, its folders below included.
        tests: What runs for each mutant, of these those that call the changed function.
    """

    name: str
    folder: str
    tests: tuple[str, ...]


CONTRACTS: Final = tuple(
    f"tests/contracts/test_{name}.py"
    for name in ("asyncapi", "codec", "deadletter", "generate", "headers", "messages", "region", "releases", "vectors")
)
"""All but those that compile the example in C, which a limit of memory ends, and that load packages in new processes."""

ROOMS: Final = (
    Room("verdict", "inspector/anomaly/verdict", ("tests/unit/anomaly/verdict",)),
    Room("thresholds", "trainer/thresholds", ("tests/unit/trainer/thresholds",)),
    Room("schemas", "schemas", ("tests/unit/schemas", *CONTRACTS)),
    Room("inflight", "inspector/inflight", ("tests/unit/inspector/inflight", "tests/unit/inspector/stages")),
    Room("stages", "inspector/stages", ("tests/unit/inspector/stages",)),
)
"""The smallest first."""
