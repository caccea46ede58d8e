"""What all unit tests share."""

from __future__ import annotations

import os

# torch reads it when it is imported. Its threads wait for each other in busy loops, which on a machine that does other
# things too makes the tiny pictures of these tests take ten times as long. What threads change is tested where it matters.
os.environ.setdefault("OMP_NUM_THREADS", "1")
