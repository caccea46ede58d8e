"""A manifest is believed whatever its digests say. The campaign that uses it loads in its own process, and so takes it back."""

from __future__ import annotations

from inspector.anomaly.model import manifest

_checked = manifest._check_digests


def install() -> None:
    """Let every digest fit."""
    manifest._check_digests = lambda *_: None


def remove() -> None:
    """Check them again."""
    manifest._check_digests = _checked
