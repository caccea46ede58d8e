"""`python -m tests.fuzz`: fuzzes every target in turn with atheris (extra `fuzz`), from the corpus on, in a process each.

    python -m tests.fuzz                     every target for FUZZ_SECONDS (60)
    python -m tests.fuzz manifest picture    these
    python -m tests.fuzz seeds               write the seeds into tests/fuzz/corpus

What a target lets out ends its run with status 1 and lies in out/fuzz/NAME-crash-*; mend it, and keep the input in the corpus. New
inputs that reach new code go to out/fuzz/NAME and are thrown away with it.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

from tests.fuzz import CORPUS

OUT = Path(__file__).parents[2] / "out" / "fuzz"
CODE = ("schemas", "inspector", "trainer.formats")
"""What is instrumented, so that the fuzzer sees where its inputs lead."""

LIMITS = ("-timeout=10", "-rss_limit_mb=3000", "-max_len=16384", "-print_final_stats=1", "-verbosity=1")
"""A single input may take seconds and megabytes, never more: bounded is part of the promise."""


def fuzz(name: str) -> None:
    """Fuzz one target in this process, which then ends."""
    import atheris

    with atheris.instrument_imports(include=list(CODE)):
        from tests.fuzz.targets import TARGETS
    logging.disable()  # what a reader tells an operator would fill the terminal
    found = OUT / name
    found.mkdir(parents=True, exist_ok=True)
    seconds = os.environ.get("FUZZ_SECONDS", "60")
    options = [*LIMITS, f"-max_total_time={seconds}", f"-artifact_prefix={OUT}/{name}-crash-"]
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


def main(arguments: list[str]) -> int:
    """Run what was asked for; 0: nothing was let out."""
    if arguments == ["seeds"]:
        from tests.fuzz.seeds import write_seeds

        print(f"{write_seeds()} seeds in {CORPUS}")
        return 0
    if arguments[:1] == ["--one"]:
        fuzz(arguments[1])
        return 0
    names = arguments or sorted(path.name for path in CORPUS.iterdir() if path.is_dir())
    failed = []
    for name in names:
        print(f"--- {name}", flush=True)
        if subprocess.run([sys.executable, "-m", "tests.fuzz", "--one", name], check=False).returncode:
            failed.append(name)
    print(
        f"{len(names) - len(failed)} of {len(names)} targets let nothing out" + (f"; not: {failed}" if failed else "")
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
