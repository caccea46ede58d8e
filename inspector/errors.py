"""Errors of the service, by the stage that raises them.

InspectorError
 +-- ConfigError         config   a setting is missing, unknown or impossible; the message is a sentence for the operator
 +-- MissingExtraError   start    a command needs a package that is not installed; names the extra
 +-- TopicError          topics   a topic is missing or not as it must be
 +-- BusError            bus      the broker did not do what was asked; worth a retry unless the class says otherwise
 |    +-- MessageTooLargeError    never worth a retry: the same bytes stay too large
 |    +-- AccessError             wrong credentials or rights; an operator must act
 |    +-- StaleCommitError        the group has given the partitions to others meanwhile
 +-- ModelError          models   a camera's model cannot be loaded, verified or warmed up
 +-- DeviceError         score    the device or its thread is unusable; the process must go

What is wrong with one frame is no error of the service: it becomes a result with a status and a reason.
"""

from __future__ import annotations

from typing import ClassVar, Literal

Stage = Literal["config", "start", "topics", "bus", "models", "score", "run"]


class InspectorError(Exception):
    """Root of the service's errors.

    Attributes:
        stage: where it happened; a bounded word, fit for a log field.
        retriable: whether the same call may succeed later without anyone's help.
    """

    stage: ClassVar[Stage] = "run"
    retriable: ClassVar[bool] = False


class ConfigError(InspectorError):
    """A setting is missing, unknown or impossible."""

    stage: ClassVar[Stage] = "config"


class MissingExtraError(InspectorError):
    """A command needs a package that is not installed."""

    stage: ClassVar[Stage] = "start"

    def __init__(self, module: str, extra: str) -> None:
        super().__init__(f"{module} is not installed. Install it with: pip install 'line-inspector[{extra}]'")
        self.module = module
        self.extra = extra


class TopicError(InspectorError):
    """A topic is missing or not as it must be."""

    stage: ClassVar[Stage] = "topics"


class BusError(InspectorError):
    """The broker did not do what was asked of it."""

    stage: ClassVar[Stage] = "bus"
    retriable: ClassVar[bool] = True


class MessageTooLargeError(BusError):
    """A message is larger than the producer or the topic allows."""

    retriable: ClassVar[bool] = False


class AccessError(BusError):
    """The broker refused the credentials or the right."""

    retriable: ClassVar[bool] = False


class StaleCommitError(BusError):
    """Offsets were not committed because the group has moved on; whoever has the partitions now reads on from before."""


class ModelError(InspectorError):
    """A camera's model cannot be loaded, verified or warmed up."""

    stage: ClassVar[Stage] = "models"


class DeviceError(InspectorError):
    """The device, or a thread that computes on it, is unusable."""

    stage: ClassVar[Stage] = "score"
