"""Print what was measured of thresholds as one JSON object.

    python -m tests.benchmarks.thresholds.real --out out/threshold-scores   # an hour on two cores; once
    python -m tests.benchmarks.thresholds --scores out/threshold-scores

Without `--scores` the simulations alone, in minutes.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from tests.benchmarks.machine import describe_software
from tests.benchmarks.thresholds.judge import judged
from tests.benchmarks.thresholds.simulation import of_groups, of_images

RUNS = 1000
RUNS_OF_GROUPS = 400


def main() -> int:
    """Measure, print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.thresholds", description=__doc__)
    parser.add_argument("--scores", type=Path, help="folder of what tests.benchmarks.thresholds.real wrote")
    parser.add_argument("--runs", type=int, default=RUNS, help="draws of each simulation; of groups 0.4 times as many")
    arguments = parser.parse_args()
    document: dict[str, Any] = {
        "runs": arguments.runs,
        "images": list(of_images(arguments.runs)),
        "groups": list(of_groups(arguments.runs * RUNS_OF_GROUPS // RUNS)),
        "real": list(judged(arguments.scores)) if arguments.scores else [],
        "software": describe_software(),
    }
    print(_lines(document))
    return 0


def _lines(document: dict[str, Any]) -> str:
    """JSON with a row a line, so that a change is seen."""
    parts = []
    for key, value in document.items():
        if isinstance(value, list):
            rows = ",\n  ".join(json.dumps(row) for row in value)
            parts.append(f' "{key}": [\n  {rows}\n ]' if value else f' "{key}": []')
        else:
            parts.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(parts) + "\n}"


if __name__ == "__main__":
    sys.exit(main())
