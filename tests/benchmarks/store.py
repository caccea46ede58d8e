"""Figures that a benchmark goes on with where it was cut off, in a JSON file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from inspector.anomaly.files import write_file
from tests.benchmarks.machine import describe_machine, describe_software


def write_store(path: Path, store: dict[str, Any]) -> None:
    """Say in it on what it was measured, and replace the file as a whole: a run may be killed at any time."""
    store["machine"], store["software"] = describe_machine(), describe_software()
    write_file(path, (json.dumps(store, indent=1) + "\n").encode())
