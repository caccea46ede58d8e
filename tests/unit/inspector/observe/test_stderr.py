"""Standard error: lines of libraries become records, Python's words stay, and a crash loses nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[4]
NOISY = [sys.executable, "-m", "tests.unit.inspector.observe.noisy"]


def run(what: str, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # type: ignore[call-overload, no-any-return]
        [*NOISY, what], cwd=CHECKOUT, text=True, check=False, stdout=subprocess.PIPE, timeout=120, **options
    )


def test_what_decoders_say_is_one_record_and_every_line_is_json() -> None:
    done = run("pictures", stderr=subprocess.PIPE)
    records = [json.loads(line) for line in done.stderr.splitlines()]
    told = [(record["level"], record["logger"], record["message"]) for record in records]
    assert len(told) == len(set(told))
    for words in ("Corrupt JPEG data", "libpng error"):
        assert sum(words in message for _, _, message in told) == 1, told
    assert told[-1] == ("warning", "stderr", "half a line")
    assert (done.returncode, done.stdout) == (0, "done\n")


def test_errors_that_nobody_caught_are_records_too() -> None:
    done = run("python", stderr=subprocess.PIPE)
    assert done.returncode == 1
    plain, *lines = done.stderr.splitlines()
    assert plain == "said to sys.stderr"
    warning, thread, *rest = [json.loads(line) for line in lines if line.startswith("{")]
    assert "UserWarning: of Python" in warning["message"]
    assert "ZeroDivisionError" in thread["exception"]
    assert rest == []
    assert "ValueError: nobody catches this" in done.stderr, "it left the block: Python itself says so"


@pytest.mark.parametrize(("what", "status"), [("abort", -signal.SIGABRT), ("exit", 7)])
def test_the_last_words_of_a_process_that_dies_are_not_lost(what: str, status: int) -> None:
    done = run(what, stderr=subprocess.PIPE)
    assert done.returncode == status
    assert ("terminate called: the reason" if what == "abort" else "and then it left") in done.stderr
    if what == "abort":
        assert "Fatal Python error: Aborted" in done.stderr
        assert "noisy.py" in done.stderr, "the stack"


def test_a_standard_error_that_nobody_reads_holds_up_no_library() -> None:
    """The log waits, as it must; who writes to file descriptor 2 does not."""
    read_fd, write_fd = os.pipe()
    program = (
        "import os\n"
        "from inspector.observe.stderr import stderr_in_log\n"
        "import logging\n"
        "from inspector.observe.logs import configure_logging\n"
        "from tests.unit.inspector.observe.noisy import write\n"
        "with stderr_in_log() as stream:\n"
        "    configure_logging('info', as_json=True, stream=stream)\n"
        "    for number in range(30_000):\n"
        "        write(b'line of which there are many, number %s\\n' % ('x' * (number % 997)).encode())\n"
        "    print('written', flush=True)\n"
        "    os._exit(0)\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=write_fd,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(write_fd)
        os.close(read_fd)
    assert (done.returncode, done.stdout) == (0, "written\n")


def test_a_standard_error_that_is_closed_is_none() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$@" 2>&-', "sh", *NOISY, "pictures"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "done\n")
