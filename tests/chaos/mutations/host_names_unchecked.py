"""Certificates are taken from whatever host shows them."""

from __future__ import annotations

import ssl
from typing import Any

from inspector.bus import connect


def install() -> None:
    """Let clients look at the authority alone."""
    owner: Any = connect
    checked = owner.client_context

    def unchecked(*files: Any) -> ssl.SSLContext:
        context: ssl.SSLContext = checked(*files)
        context.check_hostname = False
        return context

    owner.client_context = unchecked
