"""The reasons why a release is not written.

InspectorError
 +-- ReleaseError            the change makes no sense for this camera in its present state
      +-- ReleaseRaceError   somebody else changed the camera at the same moment, and came first
"""

from __future__ import annotations

from inspector.errors import InspectorError


class ReleaseError(InspectorError):
    """A change that makes no sense for this camera as things are; says what would."""


class ReleaseRaceError(ReleaseError):
    """Somebody else changed the camera at the same moment, and came first: nothing was changed by this one."""
