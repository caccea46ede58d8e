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


ROOMS: Final = (
    Room("verdict", "inspector/anomaly/verdict", ("tests/unit/anomaly/verdict",)),
    Room("thresholds", "trainer/thresholds", ("tests/unit/trainer/thresholds",)),
    Room("schemas", "schemas", ("tests/unit/schemas", "tests/contracts")),
    Room("inflight", "inspector/inflight", ("tests/unit/inspector/inflight", "tests/unit/inspector/stages")),
    Room("stages", "inspector/stages", ("tests/unit/inspector/stages",)),
)
"""The smallest first."""
