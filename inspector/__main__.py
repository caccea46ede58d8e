"""`python -m inspector` and the command `inspector`."""

from __future__ import annotations

import sys

from inspector.cli import main as run_command
from inspector.commandline.output import leave, run_with_output


def main() -> None:
    """Run the command line and leave with its status."""
    status = run_with_output("inspector", run_command)
    if "torch" in sys.modules:
        leave(status)
    sys.exit(status)


if __name__ == "__main__":
    main()
