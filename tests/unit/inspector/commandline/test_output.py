"""Both programs, where their output cannot be written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = (
    "import sys; from inspector.commandline.output import run_with_output\n"
    "def command():\n"
    "    print(sys.argv[1])\n"
    "    return 5\n"
    "sys.exit(run_with_output('program', command))"
)
PROGRAMS = (
    ["-c", PROGRAM, "word"],
    ["-m", "trainer", "--help"],
    ["-m", "trainer", "apply", "--help"],
    ["-m", "inspector", "--help"],
)


def run(arguments: list[str], stdout: int, **environment: str) -> subprocess.CompletedProcess[bytes]:
    env = os.environ | environment
    return subprocess.run([sys.executable, *arguments], stdout=stdout, stderr=subprocess.PIPE, check=False, env=env)


@pytest.mark.parametrize("arguments", PROGRAMS)
@pytest.mark.parametrize("buffering", ["", "1"])
def test_a_reader_that_has_left_ends_it_without_a_word(arguments: list[str], buffering: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = run(arguments, writing, PYTHONUNBUFFERED=buffering)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("arguments", PROGRAMS)
def test_a_full_disk_is_a_sentence(arguments: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        done = run(arguments, full.fileno())
    name = "program" if arguments[0] == "-c" else arguments[1]
    assert done.stderr.decode() == f"{name}: standard output cannot be written: No space left on device\n"
    assert done.returncode == 1


@pytest.mark.parametrize("word", ["Prüfung", "\udcff", "\U0001f600"])
def test_an_ascii_terminal_gets_escaped_text(word: str) -> None:
    done = run(["-c", PROGRAM, word], subprocess.PIPE, PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C.UTF-8")
    assert done.stdout.decode("ascii").strip() == word.encode("ascii", "backslashreplace").decode()
    assert (done.returncode, done.stderr) == (5, b"")


def test_what_fails_elsewhere_is_no_matter_of_the_output() -> None:
    program = PROGRAM.replace("print(sys.argv[1])", "raise OSError(28, 'No space left on device')")
    done = run(["-c", program], subprocess.PIPE)
    assert done.returncode == 1
    assert b"standard output" not in done.stderr


def test_a_closed_output_is_none() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", 'exec "$0" "$@" >&-', sys.executable, "-c", PROGRAM, "word"],
        stderr=subprocess.PIPE,
        check=False,
    )
    assert (done.returncode, done.stderr) == (5, b"")


def test_a_program_leaves_with_its_status_and_all_that_it_wrote() -> None:
    """Also where a thread goes on, which an interpreter in order would wait for."""
    program = (
        "import logging, sys, threading\n"
        "from inspector.commandline.output import leave\n"
        "threading.Thread(target=threading.Event().wait).start()\n"
        "logging.basicConfig(stream=sys.stdout)\n"
        "logging.warning('written')\n"
        "print('printed', end='')\n"
        "leave(3)"
    )
    done = run(["-c", program], subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (3, b"WARNING:root:written\nprinted", b"")
