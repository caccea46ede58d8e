"""`python -m trainer` and the command `trainer`."""

from __future__ import annotations

import sys

from inspector.commandline.output import run_with_output


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    sys.exit(run_with_output("trainer", _run))


def _run() -> int:
    try:
        from trainer.commands.cli import run

        return run(sys.argv[1:])
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in {"", "trainer", "inspector", "schemas"}:
            raise
        extra = "release" if module == "aiokafka" else "trainer"
        print(
            f"trainer: {module} is missing; in the clone of line-inspector, run: pip install '.[{extra}]'",
            file=sys.stderr,
        )
        return 1


if __name__ == "__main__":
    main()
