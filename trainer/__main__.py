"""`python -m trainer` and the command `trainer`."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; the process ends with its exit status."""
    try:
        from trainer.commands.cli import run

        status = run(sys.argv[1:])
    except ModuleNotFoundError as error:
        module = (error.name or "").partition(".")[0]
        if module in {"", "trainer", "inspector", "schemas"}:
            raise
        print(f"trainer: {module} is missing: pip install 'line-inspector[trainer]'", file=sys.stderr)
        sys.exit(1)
    sys.exit(status)


if __name__ == "__main__":
    main()
