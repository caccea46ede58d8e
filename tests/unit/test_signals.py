from __future__ import annotations

import signal
import subprocess
import sys

import pytest

from tests.signals import arriving

DISPOSITION = "import signal; print(signal.getsignal(signal.{}) is signal.SIG_IGN)"


def is_ignored_by_a_child(number: signal.Signals) -> bool:
    command = [sys.executable, "-c", DISPOSITION.format(number.name)]
    return {"True\n": True, "False\n": False}[
        subprocess.run(command, capture_output=True, text=True, check=True).stdout
    ]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_the_run_ignores_arrives_within_the_block(number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        assert is_ignored_by_a_child(number)
        with arriving(number):
            assert not is_ignored_by_a_child(number)
            assert signal.getsignal(number) is signal.SIG_DFL
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_a_handler_stays() -> None:
    before = signal.signal(signal.SIGHUP, lambda *_: None)
    handler = signal.getsignal(signal.SIGHUP)
    try:
        with arriving(signal.SIGHUP):
            assert signal.getsignal(signal.SIGHUP) is handler
        assert signal.getsignal(signal.SIGHUP) is handler
    finally:
        signal.signal(signal.SIGHUP, before)
