"""`make bench-accuracy`: how well each detector finds defects on real sets, and what it costs. Resumable.

    python -m tests.benchmarks.accuracy run [--piece main|ablation|timing] [--seconds N]   # measure what is missing
    python -m tests.benchmarks.accuracy table                                             # write the Markdown again

Every cell is written as soon as it is measured, so a run can be cut off at any time and goes on where it was.
The cells that fit under `cells.py` are the plan; `accuracy.json` holds what was measured, `accuracy.md` is made of it.
"""
