from __future__ import annotations

from collections.abc import Callable

import pytest

from inspector.releases.chain import read_audit, read_releases, verify
from schemas import (
    AuditRecord,
    BundleReference,
    CameraModels,
    ModelReference,
    ModelRelease,
    audit_hash,
    camera_chain,
    encode,
)
from tests.fakes import FakeRecord


def models(version: str | None) -> CameraModels:
    if version is None:
        return CameraModels(active=None)
    model = ModelReference(name="m", version=version, digest="ab" * 32)
    return CameraModels(active=BundleReference(model=model, url="file:///srv/m/"))


class Log:
    """A log of changes of one camera, and the releases that go with them."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.releases: list[ModelRelease] = []
        self._head: tuple[int, str | None, CameraModels] = (0, None, models(None))

    def change(self, version: str, *, by: str = "ada", fits: bool = True) -> bytes:
        """Append a change that follows from the last one; one that does not fit is left out of what comes after."""
        number, previous, old = self._head
        new = models(version)
        record = AuditRecord(
            chain=camera_chain("l", "c"), position=number, previous_hash=previous, action="release", line_id="l", camera_id="c",
            number=number + 1, by=by, at=number, old=old, new=new,
        )  # fmt: skip
        value = encode(record)
        self.values.append(value)
        if fits:
            self._head = (number + 1, audit_hash(value), new)
            self.releases.append(
                ModelRelease(
                    line_id="l",
                    camera_id="c",
                    number=number + 1,
                    models=new,
                    released_by=by,
                    released_at=number,
                    audit_hash=audit_hash(value),
                )
            )
        return value

    def verdict(self) -> tuple[list[str], list[str]]:
        audit = read_audit([FakeRecord("audit", 0, offset, b"", value) for offset, value in enumerate(self.values)])
        records = [
            FakeRecord("models", 0, offset, release.camera.encode(), encode(release))
            for offset, release in enumerate(self.releases)
        ]
        releases, unreadable = read_releases(records)
        assert unreadable == []
        found = verify(audit, releases)
        return found.faults, found.notes


@pytest.fixture
def log() -> Log:
    log = Log()
    for version in "123":
        log.change(version)
    return log


def test_a_chain_that_is_as_it_was_written_has_no_fault(log: Log) -> None:
    assert log.verdict() == ([], [])


def test_a_record_that_was_sent_twice_is_a_note(log: Log) -> None:
    log.values.insert(2, log.values[1])
    faults, notes = log.verdict()
    assert faults == []
    assert notes == ["camera:l/c: 1 records are duplicates"]


def test_who_came_second_changed_nothing_and_is_a_note(log: Log) -> None:
    log.change("mine", by="ada")
    log._head = (3, audit_hash(log.values[2]), models("3"))
    log.change("yours", by="bob", fits=False)
    faults, notes = log.verdict()
    assert faults == []
    assert notes == ["camera:l/c: release by bob came after the one by ada, and had no effect"]


def remove(number: int) -> Callable[[Log], None]:
    def change(log: Log) -> None:
        del log.values[number]

    return change


def rewrite(number: int) -> Callable[[Log], None]:
    """Put another model into a record, as somebody would who hides what judged."""

    def change(log: Log) -> None:
        log.values[number] = log.values[number].replace(
            b"\xa7version\xa1" + str(number + 1).encode(), b"\xa7version\xa19"
        )

    return change


def forget_release(log: Log) -> None:
    del log.releases[-1]


def forge_release(log: Log) -> None:
    log.releases.append(log.releases[-1].model_copy(update={"models": models("9")}))


def release_without_record(log: Log) -> None:
    log.releases.append(log.releases[-1].model_copy(update={"number": 4}))


def garble(log: Log) -> None:
    log.values.append(b"garbled")


def lose_releases(log: Log) -> None:
    log.releases.clear()


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (remove(0), "begins at position 1"),
        (remove(1), "records between them are missing"),
        (remove(2), "release 3 by ada has no record"),
        (rewrite(0), "does not follow from the record before it"),
        (rewrite(1), "does not follow from the record before it"),
        (rewrite(2), "names a record other than the one with that number"),
        (forget_release, "record 3 has no release: the last one that inspectors see is 2"),
        (forge_release, "contradicts its record"),
        (release_without_record, "release 4 by ada has no record"),
        (garble, "no record that can be read"),
        (lose_releases, "no release of l/c"),
    ],
)
def test_whatever_was_taken_away_or_changed_is_a_fault(log: Log, harm: Callable[[Log], None], told: str) -> None:
    harm(log)
    faults, _ = log.verdict()
    assert any(told in fault for fault in faults), faults


def test_a_release_under_another_key_is_none_and_a_tombstone_ends_it(log: Log) -> None:
    value = encode(log.releases[0])
    found, unreadable = read_releases([FakeRecord("models", 0, 0, b"l/other", value)])
    assert found == {}
    assert "its key is b'l/other'" in unreadable[0]
    found, unreadable = read_releases(
        [FakeRecord("models", 0, 0, b"l/c", value), FakeRecord("models", 0, 1, b"l/c", None)]
    )
    assert (found, unreadable) == ({}, [])
