"""What is there when the heap is frozen is not searched again, and is freed all the same."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc, weakref
from inspector.loop.heap import freeze_heap

class Node:
    pass

cycle = Node()
cycle.self = cycle
dead = weakref.ref(cycle)
del cycle
lone = Node()
freeze_heap()
assert dead() is None, "what was garbage already is collected"
assert gc.get_freeze_count() > 1000
assert len(gc.get_objects()) < 1000, len(gc.get_objects())
gone = weakref.ref(lone)
del lone
assert gone() is None, "no reference is left"
"""


def test_a_frozen_heap_is_not_searched_and_what_nobody_refers_to_is_freed() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
