"""What systemd is told, over a real socket."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.observe.systemd import MAX_STATUS, ServiceManager
from tests.notified import NotifySocket


@pytest.fixture
def listening(tmp_path: Path) -> Iterator[NotifySocket]:
    with NotifySocket(str(tmp_path / "notify")) as listening:
        yield listening


def manager_at(path: Path) -> ServiceManager:
    return ServiceManager({"NOTIFY_SOCKET": str(path / "notify")})


EXTENDED = "WATCHDOG=1\nEXTEND_TIMEOUT_USEC=60000000"


def test_a_start_is_extended_until_it_is_over_and_ready_is_told_once(listening: NotifySocket, tmp_path: Path) -> None:
    manager = manager_at(tmp_path)
    manager.tell(is_alive=True, not_ready=["models: not there yet", "broker: away"], ready="works")
    assert listening.heard() == [EXTENDED, "STATUS=not ready: models: not there yet; broker: away"]
    manager.tell(is_alive=True, not_ready=["models: not there yet", "broker: away"], ready="works")
    assert listening.heard() == [EXTENDED], "the same status again is not sent"
    manager.tell(is_alive=True, not_ready=[], ready="works")
    assert listening.heard() == [EXTENDED, "READY=1", "STATUS=works"]
    manager.tell(is_alive=True, not_ready=["broker: away"], ready="works")
    manager.tell(is_alive=True, not_ready=[], ready="works")
    assert listening.heard() == ["WATCHDOG=1", "STATUS=not ready: broker: away", "WATCHDOG=1", "STATUS=works"]


def test_what_hangs_gives_no_sign_of_life_but_says_why(listening: NotifySocket, tmp_path: Path) -> None:
    manager = manager_at(tmp_path)
    manager.ready()
    manager.tell(is_alive=False, not_ready=["event loop: has not run for 6 s"], ready="works")
    assert listening.heard() == ["READY=1", "STATUS=not ready: event loop: has not run for 6 s"]


def test_whoever_is_stopping_becomes_ready_no_more_and_says_so_once(listening: NotifySocket, tmp_path: Path) -> None:
    manager = manager_at(tmp_path)
    manager.stopping()
    manager.stopping()
    manager.tell(is_alive=True, not_ready=[], ready="works")
    assert listening.heard() == ["STOPPING=1", "WATCHDOG=1", "STATUS=works"]


def test_a_status_is_one_short_line(listening: NotifySocket, tmp_path: Path) -> None:
    manager_at(tmp_path).status("a reason\nREADY=1\n" + "x" * 10_000)
    (message,) = listening.heard()
    assert message.startswith("STATUS=a reason READY=1 xxx")
    assert len(message) == len("STATUS=") + MAX_STATUS
    assert "\n" not in message, "or a reason could speak for the service"


def test_an_abstract_socket_is_reached(unique_name: str) -> None:
    with NotifySocket(f"\0{unique_name}") as listening:
        ServiceManager({"NOTIFY_SOCKET": f"@{unique_name}"}).ready()
        assert listening.heard() == ["READY=1"]


@pytest.mark.parametrize("name", ["", "gone", "/proc/none/notify", "x" * 500])
def test_nobody_who_listens_harms_nothing(name: str, tmp_path: Path) -> None:
    path = name if name.startswith("/") or not name else str(tmp_path / name)
    manager = ServiceManager({"NOTIFY_SOCKET": path} if name else {})
    manager.tell(is_alive=True, not_ready=[], ready="works")
    manager.stopping()


def test_a_full_queue_does_not_hold_up_the_service_and_what_it_did_not_take_is_told_again(
    listening: NotifySocket, tmp_path: Path
) -> None:
    manager = manager_at(tmp_path)
    for _ in range(10_000):
        manager.alive()
    manager.tell(is_alive=True, not_ready=[], ready="works")
    heard = listening.heard()
    assert 0 < len(heard) < 10_000, "the rest was let go"
    assert "READY=1" not in heard
    manager.tell(is_alive=True, not_ready=[], ready="works")
    assert listening.heard() == [EXTENDED, "READY=1", "STATUS=works"]
