"""`python -m deploy.site`: builds the pages of docs/ as a site; every warning of Sphinx is an error."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from deploy.site.sources import write_sources

ROOT = Path(__file__).parents[2]


def main(arguments: Sequence[str] | None = None) -> int:
    """Build the site and return Sphinx's exit status: 0 where it was built without a warning."""
    parser = argparse.ArgumentParser(prog="python -m deploy.site", description=__doc__)
    parser.add_argument("--out", type=Path, default=ROOT / "site", metavar="DIR", help="default: site/")
    options = parser.parse_args(arguments)
    strict = ["--fail-on-warning", "--keep-going", "--nitpicky", "--quiet"]
    with tempfile.TemporaryDirectory() as scratch:
        sources, doctrees = Path(scratch, "sources"), Path(scratch, "doctrees")
        write_sources(ROOT, sources)
        places = ["-c", str(Path(__file__).parent), "-d", str(doctrees), str(sources), str(options.out)]
        built = subprocess.run([sys.executable, "-m", "sphinx", "-b", "html", *strict, *places], check=False)
    if built.returncode == 0:
        print(f"{options.out / 'index.html'}")
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
