"""Errors of the service; the text of each is a sentence for the operator.

InspectorError
 +-- ConfigError                  a setting is missing, unknown or impossible
 +-- MissingExtraError            a command needs a package that is not installed; names the extra
 +-- TopicError                   a topic is missing or has wrong settings
 +-- BusError                     the broker did not do what was asked; trying again may help, unless the class says otherwise
 |    +-- MessageTooLargeError    trying again never helps: the same bytes stay too large
 |    +-- PartitionGoneError      the topic no longer has this partition; its keys now belong to others
 |    +-- AccessError             wrong credentials or rights; an operator must act
 |    +-- StaleCommitError        the group has given the partitions to others meanwhile
 +-- ArchiveError                 the archive cannot be made or read
 +-- ModelError                   a camera's model cannot be loaded, verified or warmed up
 +-- DeviceError                  the device or its thread is unusable; the process must end
 |    +-- DeviceLostError         a sticky error: each later call would fail with it too
 +-- HangError                    something has stood still for too long; the process must end

A problem with one frame is not an error of the service: it becomes a result with a status and a reason.
"""

from __future__ import annotations


class InspectorError(Exception):
    """Root of the service's errors."""


class ConfigError(InspectorError):
    """A setting is missing, unknown or impossible."""


class MissingExtraError(InspectorError):
    """A command needs a package that is not installed."""

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. In the clone of line-inspector, run: pip install '.[{extra}]'")


class TopicError(InspectorError):
    """A topic is missing or has wrong settings."""


class BusError(InspectorError):
    """The broker did not do what was asked of it."""


class MessageTooLargeError(BusError):
    """A message is larger than the producer or the topic allows."""


class PartitionGoneError(BusError):
    """The topic has no such partition any more."""


class AccessError(BusError):
    """The broker refused the credentials or the right."""


class StaleCommitError(BusError):
    """Offsets were not committed because the group has rebalanced; the process that has the partitions now reads them again from the last commit."""


class ArchiveError(InspectorError):
    """The archive cannot be made or read."""


class ModelError(InspectorError):
    """A camera's model cannot be loaded, verified or warmed up."""


class DeviceError(InspectorError):
    """The device, or a thread that computes on it, is unusable."""


class DeviceLostError(DeviceError):
    """No later call to the device can succeed in this process."""


class HangError(InspectorError):
    """Something has stood still for longer than it may.

    Attributes:
        status: the exit status that says what.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status
