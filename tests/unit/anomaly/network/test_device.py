from __future__ import annotations

import pytest
import torch

from inspector.anomaly.network.device import available_device, query_available_dl_devices


def test_the_devices_that_are_there_can_be_used() -> None:
    names = query_available_dl_devices()
    assert names[0] == "cpu"
    assert len(names) == 1 + (torch.cuda.device_count() if torch.cuda.is_available() else 0)
    for name in names:
        assert str(available_device(name)) == name


def test_every_gpu_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert query_available_dl_devices() == ("cpu", "cuda:0", "cuda:1")
