"""Programs for a fuzzer: each takes any bytes, and lets nothing out but what the fuzzed code documents."""

from __future__ import annotations

from pathlib import Path

CORPUS = Path(__file__).with_name("corpus")
"""A folder of kept inputs for each target."""
