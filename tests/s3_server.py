"""A real S3 server for tests: moto's, a process of its own on a port of its own, with one bucket."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

BUCKET = "models"
START_S = 60.0


class S3Server(NamedTuple):
    """Where it answers, and the process."""

    endpoint: str
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_s3_server(folder: Path) -> Iterator[S3Server]:
    """Run it for the duration of a block; its log goes to `folder`."""
    log = folder / "s3.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"], stdout=output, stderr=output
        )
    try:
        endpoint = _endpoint(process, log)
        urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{BUCKET}", method="PUT")).close()  # noqa: S310 ours
        yield S3Server(endpoint, process)
    finally:
        process.terminate()
        process.wait(30)


def _endpoint(process: subprocess.Popen[bytes], log: Path) -> str:
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up and process.poll() is None:
        for word in log.read_text(errors="replace").split():
            if word.startswith("http://127.0.0.1:") and not word.endswith(":0"):
                return word
        time.sleep(0.05)
    raise AssertionError(f"the S3 server did not start:\n{log.read_text(errors='replace')}")
