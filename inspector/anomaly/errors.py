"""Errors of the anomaly domain.

AnomalyError
 +-- ImageError          an image's bytes are not a picture that we accept; carries a bounded `reason`
 +-- GeometryError       a sound picture, or a domain, does not fit the geometry that the model was trained with
 +-- ParameterError      a parameter is out of its documented range
 |    +-- StepError       a user's preprocessing step is not installed, or its output breaks the rules
 +-- WeightsError        backbone weights are missing or are not the published ones
 +-- BundleError         a model bundle is incomplete, altered or of another version
 |    +-- GoldenSampleError  it is complete, but does not score its golden samples as recorded
 +-- UncalibratedError   a verdict was asked from a model without thresholds
"""

from __future__ import annotations

from typing import Literal

ImageReason = Literal["empty", "corrupt", "truncated", "too_large", "unsupported"]


class AnomalyError(Exception):
    """Root of the package's errors. Trying again with the same input always fails in the same way."""


class ImageError(AnomalyError):
    """The bytes of one image cannot be decoded within the limits."""

    def __init__(self, reason: ImageReason, message: str) -> None:
        super().__init__(message)
        self.reason: ImageReason = reason


class GeometryError(AnomalyError):
    """A picture's aspect or channels, or a domain's aspect, do not fit the geometry that the model was trained with.

    This is not an `ImageError`, because the bytes are fine: check the camera or the model.
    """


class ParameterError(AnomalyError, ValueError):
    """A parameter is outside its documented range."""


class StepError(ParameterError):
    """A user's preprocessing step is not installed in this version, fails, or does not return a picture."""


class WeightsError(AnomalyError):
    """Backbone weights are missing or have been changed."""


class BundleError(AnomalyError):
    """A model bundle cannot be trusted or read; the message names the file and what is wrong."""


class GoldenSampleError(BundleError):
    """A bundle is complete, but does not score its golden samples as recorded, on this machine or anywhere."""


class UncalibratedError(AnomalyError):
    """A verdict was requested from a model without thresholds."""
