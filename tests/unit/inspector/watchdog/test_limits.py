"""Each thing that is watched has a limit, a sentence and an exit status of its own, and all of them are told to the operator."""

from __future__ import annotations

import re
from pathlib import Path

import inspector.service
from inspector.settings.watch.watchdog import WatchdogSettings
from inspector.watchdog import limits
from inspector.watchdog.limits import watched

ROOT = Path(__file__).parents[4]
STATUSES = {value for name, value in vars(limits).items() if name.startswith("EXIT_")}


def test_every_limit_is_used_and_each_kind_of_hang_has_its_status() -> None:
    settings = WatchdogSettings(loop_s=2, device_s=3, load_s=4, worker_s=5, send_s=6)
    ones = watched(
        settings, beats=lambda: 7, scoring=dict, calling=dict, working=dict, sending=dict, batch_takes_s=float
    )
    assert [(one.limit_s, one.status, one.drains) for one in ones] == [
        (2, 10, False),
        (3, 11, True),
        (4, 11, True),
        (5, 12, True),
        (6, 14, True),
    ]
    assert ones[0].steps() == {"": 7}
    for one in ones:
        assert "{" not in one.says("device-0", 61)


def test_the_docstring_and_the_docs_tell_every_status() -> None:
    for text in (inspector.service.__doc__, (ROOT / "docs/faults.md").read_text(encoding="utf-8")):
        told = {int(number) for number in re.findall(r"^\| (\d+) \|", text or "", flags=re.MULTILINE)}
        assert told == STATUSES | {0, 3}
