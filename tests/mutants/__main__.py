"""`python -m tests.mutants`: changes the code of the rooms in small ways, and shows what no unit test notices (extra `mutants`).

    python -m tests.mutants                      every room, from nothing: an hour or two
    python -m tests.mutants verdict thresholds   these
    python -m tests.mutants --again verdict      what no test noticed, and functions that changed since
    python -m tests.mutants --share 0.1 stages   one in ten, drawn by a seed

Status 1: a survivor wants a test: tests/mutants/survivors.toml does not say that it is equivalent, or not worth one. 2: a room could not be tried, as mutmut says.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.mutants.report import judge, print_outcomes, read_reasons, write_outcome
from tests.mutants.rooms import ROOMS
from tests.mutants.workplace import Workplace


def main(arguments: Sequence[str]) -> int:
    """Run what was asked for; 0: no survivor wants a test."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Changes that no unit test notices.")
    names = [room.name for room in ROOMS]
    parser.add_argument("rooms", nargs="*", metavar="ROOM", help=f"of {', '.join(names)}; all by default")
    parser.add_argument(
        "--again", action="store_true", help="keep what the last run noticed, where the function is the same"
    )
    parser.add_argument("--processes", type=int, default=2, help="that try mutants at once (2)")
    parser.add_argument("--share", type=float, default=1.0, help="of the mutants, drawn at random (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the draw (1)")
    given = parser.parse_args(arguments)
    strangers = set(given.rooms) - set(names)
    if strangers:
        parser.error(f"no room {', '.join(sorted(strangers))}; there are {', '.join(names)}")
    outcomes = []
    for room in ROOMS:
        if given.rooms and room.name not in given.rooms:
            continue
        print(f"--- {room.name}", flush=True)
        started = time.monotonic()
        place = Workplace(room)
        is_again = place.prepare(again=given.again, share=given.share, seed=given.seed)
        try:
            place.run(given.processes)
            mutants, found = place.outcome()
        except subprocess.CalledProcessError:
            print(
                f"mutants: {room.name} was not tried to the end, for the reason above; its workplace is {place.folder}",
                file=sys.stderr,
            )
            return 2
        outcomes.append(judge(room.name, mutants, found, read_reasons(), is_again=is_again))
        write_outcome(outcomes[-1], seed=given.seed, seconds=time.monotonic() - started)
    print_outcomes(outcomes)
    return int(any(not survivor.is_excused for outcome in outcomes for survivor in outcome.survivors))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
