"""Marks of trials: what a process leaves that ends in the midst of one, and what the next start makes of it."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from inspector.bundles.errors import BundleStoreError
from inspector.errors import ConfigError
from inspector.swap.marks import MOST_TRIES, TrialMarks
from schemas import Candidate
from tests.releases import bundle, digest_of, release
from tests.unit.inspector.swap.trial_bench import CAMERA, Desk
from tests.virtual_time import run_virtually


def killed_in_a_trial(folder: Path) -> None:
    """Let a process begin the trial of release 1, and end in its midst as by a kill."""
    killed = multiprocessing.get_context("spawn").Process(target=die_in_a_trial, args=(folder,))
    killed.start()
    killed.join()
    assert killed.exitcode == 9


def die_in_a_trial(folder: Path) -> None:
    """Begin a trial of release 1 and end at once."""

    async def scene() -> None:
        desk = Desk(folder)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        os._exit(9 if desk.tried() == "b" else 1)

    run_virtually(scene())


async def leave_as_if_killed(folder: Path) -> None:
    """The same without a process: a mark that nobody holds."""
    desk = Desk(folder)
    await desk.release(1, "b")
    await desk.for_seconds(1)
    assert desk.tried() == "b"
    free_mark(folder)


def free_mark(folder: Path) -> None:
    """Leave the one mark as if its process were killed now: without the lock."""
    (mark,) = (folder / "trials").iterdir()
    content = mark.read_bytes()
    mark.unlink()
    mark.write_bytes(content)


async def refused_trial(folder: Path) -> str:
    """Start twice with release 1, whose trial does not begin; return what is told of it."""
    told = set()
    for desk in (Desk(folder), Desk(folder)):
        await desk.release(1, "b")
        await desk.for_seconds(3)
        assert (desk.loads, desk.tried(), desk.refused("shadow")) == ([], None, 1)
        ((action, number, why),) = desk.told.heard
        assert (action, number) == ("refused", 1)
        told.add(why)
    (why,) = told
    desk = Desk(folder)
    await desk.release(2, "b")
    await desk.for_seconds(1)
    assert desk.tried() == "b", "a newer release is another trial"
    return why


def test_a_trial_in_whose_midst_a_process_was_killed_is_begun_once_more(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed_in_a_trial(tmp_path)

    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert (desk.tried(), desk.refused("shadow")) == ("b", 0)
        desk.marks.leave(is_fault=False)
        after = Desk(tmp_path)
        await after.release(1, "b")
        await after.for_seconds(1)
        assert after.tried() == "b"
        after.marks.leave(is_fault=False)

    run_virtually(scene())
    said = "line/a: the model that release 1 has on trial was being tried when the process ended; it is tried once more"
    assert [record.getMessage() for record in caplog.records].count(said) == 1, "an end without a fault takes it back"


def test_a_trial_in_whose_midst_processes_are_killed_again_is_begun_no_more(tmp_path: Path) -> None:
    async def scene() -> None:
        for _ in range(MOST_TRIES):
            await leave_as_if_killed(tmp_path)
        told = await refused_trial(tmp_path)
        assert told.startswith(
            "shadow: the trial alone, the release judges: while it was being tried the process ended"
        )
        assert "was killed 2 times" in told
        assert "release the model again" in told

    run_virtually(scene())


def test_a_trial_that_a_fault_ended_with_its_process_is_not_begun_again(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        desk.marks.leave(is_fault=True)
        assert "ended by a fault" in await refused_trial(tmp_path)

    run_virtually(scene())


def test_a_trial_that_could_not_begin_yet_has_been_begun_once(tmp_path: Path) -> None:
    async def scene() -> None:
        await leave_as_if_killed(tmp_path)
        desk = Desk(tmp_path)
        desk.error = BundleStoreError("unreachable", "the store does not answer")
        made = await desk.release(1, "b")
        await desk.for_seconds(20)
        assert len(desk.loads) == 3
        free_mark(tmp_path)
        assert TrialMarks(tmp_path).tries(made) == MOST_TRIES

    run_virtually(scene())


def test_a_mark_of_an_earlier_version_counts_as_one_try(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    (folder / "1.trial").write_text(f'["line/a", 1, "{digest_of("b")}"]')
    tried = Candidate(bundle=bundle("b"), role="shadow")
    marks = TrialMarks(tmp_path)
    assert marks.tries(release("a", 1, None, candidate=tried)) == 1
    assert marks.tries(release("a", 2, None, candidate=tried)) == 0


@pytest.mark.parametrize("end", ["fails", "released", "process"])
def test_a_trial_that_ended_leaves_no_mark(tmp_path: Path, end: str) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        (mark,) = (tmp_path / "trials").iterdir()
        route = desk.registry.shadow(CAMERA)
        assert route is not None
        if end == "fails":
            desk.trials.end(route, "it fails")
        elif end == "released":
            await desk.release(2, "c")
        else:
            desk.marks.leave(is_fault=False)
        await desk.for_seconds(0 if end == "process" else 1)
        assert not mark.exists()

    run_virtually(scene())


def test_the_mark_of_a_process_that_lives_says_nothing_against_a_trial(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        await desk.release(1, "b")
        await desk.for_seconds(1)
        other = Desk(tmp_path)
        await other.release(1, "b")
        await other.for_seconds(1)
        assert (desk.tried(), other.tried()) == ("b", "b")

    run_virtually(scene())


def test_a_mark_that_cannot_be_written_puts_the_trial_off(tmp_path: Path) -> None:
    async def scene() -> None:
        desk = Desk(tmp_path)
        (tmp_path / "trials").rmdir()
        await desk.release(1, "b")
        await desk.for_seconds(1)
        assert (desk.tried(), desk.refused("no_room")) == (None, 1)
        (tmp_path / "trials").mkdir()
        await desk.for_seconds(6)
        assert desk.tried() == "b"

    run_virtually(scene())


def test_a_mark_that_says_nothing_is_removed_and_a_folder_that_cannot_be_is_a_wrong_setting(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    folder.mkdir()
    (folder / "1.trial").write_bytes(b"[1")
    TrialMarks(tmp_path)
    assert list(folder.iterdir()) == []
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match=r"releases\.cache"):
        TrialMarks(tmp_path / "file")
