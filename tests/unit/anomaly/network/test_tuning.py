"""The process is tuned before torch is loaded, by every command that runs it, and a user's own choice is kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from inspector.anomaly.network.tuning import tune_malloc, tune_process


def test_waiting_threads_do_not_spin_unless_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    tune_process()
    assert os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    tune_process()
    assert os.environ["OMP_WAIT_POLICY"] == "ACTIVE"


@pytest.mark.parametrize("module", ["inspector.service", "trainer.commands.cli"])
def test_an_entry_point_is_imported_without_torch(module: str) -> None:
    # Otherwise OpenMP would have read its environment before the policy is set.
    code = f"import {module}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mallopt is glibc's")
def test_glibc_takes_the_settings() -> None:
    assert tune_malloc()
