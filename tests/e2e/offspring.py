"""What a test has started and what that has started in turn, so that nothing of it outlives the test, however it ends."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Self

import psutil

_NAME = "LINE_INSPECTOR_TEST"


class Offspring:
    """The processes that are started within a block, and theirs: known by a word in their environment.

    So they are found also after whoever started them has died, and a stranger's never are.
    """

    def __init__(self) -> None:
        """Choose the word."""
        self._word = uuid.uuid4().hex

    @contextmanager
    def ended(self) -> Iterator[Self]:
        """Mark what is started within the block, and end what is left of it afterwards."""
        outer = os.environ.get(_NAME)
        os.environ[_NAME] = self._word
        try:
            yield self
        finally:
            del os.environ[_NAME]
            if outer is not None:
                os.environ[_NAME] = outer
            while left := self.alive():  # again, for one may have started another meanwhile
                for process in left:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
                psutil.wait_procs(left, timeout=10)

    def alive(self) -> list[psutil.Process]:
        """Return those that run."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def commands(self) -> list[str]:
        """Return the command lines of those that run."""
        found = []
        for process in self.alive():
            with suppress(psutil.Error):
                found.append(" ".join(process.cmdline()))
        return found

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.status() != psutil.STATUS_ZOMBIE and process.environ().get(_NAME) == self._word
        except (psutil.Error, OSError):
            return False
