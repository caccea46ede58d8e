"""All dashboards, as the JSON documents that Grafana reads."""

from __future__ import annotations

from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder

from deploy.grafana.camera import camera
from deploy.grafana.line import line_overview
from deploy.grafana.models import models
from deploy.grafana.service import service

FOLDER = Path(__file__).parent / "dashboards"
"""Where the generated files lie, and where Grafana is told to look for them."""


def documents() -> dict[str, str]:
    """Return the text of each file by its name without suffix."""
    boards = {"line": line_overview(), "camera": camera(), "service": service(), "models": models()}
    encoder = JSONEncoder(sort_keys=True, indent=2)
    return {name: encoder.encode(board.build()) + "\n" for name, board in boards.items()}
