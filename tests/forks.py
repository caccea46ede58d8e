"""Processes that run a program of ours without loading torch each for itself: they are forked from one that has loaded it.

Signals, exit status and output are a process's own. What an interpreter decides as it starts, such as encodings, is that of the first one.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[1]


class Forks:
    """A context manager: the process that has loaded everything ends with it."""

    def __enter__(self) -> Self:
        self._control, theirs = socket.socketpair()
        number = theirs.fileno()
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        with theirs:
            self._first = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(number)],
                pass_fds=[number],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                cwd=ROOT,
                env=environment,
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._control.close()
        self._first.communicate()

    def run(self, program: str, *arguments: object, stdout: int | None = None) -> subprocess.CompletedProcess[bytes]:
        """Run a program as `python -c` does, and wait for its end.

        Args:
            program: Python.
            arguments: Of it.
            stdout: Descriptor that it writes to; None gathers what it writes.
        """
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            request = json.dumps([program, *map(str, arguments)]).encode()
            socket.send_fds(self._control, [request], [out.fileno() if stdout is None else stdout, err.fileno()])
            answer = self._control.recv(64)
            assert answer, "the process that forks has ended"
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess([program], int(answer), out.read(), err.read())


def _serve(control: socket.socket) -> None:
    """Fork for each request; returns in the child, once its program has ended, and in the parent once nobody asks any more."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(control, 2**16, 2)
        if not request:
            return
        child = os.fork()
        if not child:
            control.close()
            for number, descriptor in enumerate(descriptors, start=1):
                os.dup2(descriptor, number)
                os.close(descriptor)
            program, *arguments = json.loads(request)
            sys.argv = ["-c", *arguments]
            exec(program, {"__name__": "__main__"})  # noqa: S102 - as `python -c`
            return
        for descriptor in descriptors:
            os.close(descriptor)
        _, status = os.waitpid(child, 0)
        control.sendall(str(os.waitstatus_to_exitcode(status)).encode())


if __name__ == "__main__":
    from inspector.anomaly.network.tuning import tune_process

    tune_process()  # before torch is imported
    for name in ("trainer.commands.cli", "trainer.apply.run", "trainer.apply.output"):
        importlib.import_module(name)
    _serve(socket.socket(fileno=int(sys.argv[1])))
