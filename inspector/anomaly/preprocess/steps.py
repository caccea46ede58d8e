"""Preprocessing steps that users write: registers them, finds those of installed packages, runs and checks them.

A step is a function of a decoded picture and its options. It returns a picture of the same height and width:

    from inspector.anomaly import PreprocessStep, create_dl_preprocess_param, register_preprocess_step

    @register_preprocess_step("acme.flat_field", "1")
    def flat_field(image, options):
        \"\"\"Divide by the camera's own shading.\"\"\"
        return np.clip(image * options["gain"], 0, 255).astype(np.uint8)

    param = create_dl_preprocess_param(
        image_width=256, image_height=256,
        preprocess_steps=(PreprocessStep(name="acme.flat_field", version="1", options={"gain": 1.5}),),
    )

`image` is (H, W) gray or (H, W, 3) RGB uint8 in full scale, read-only; the result is one of the two, and may have the other
number of channels. `options` is a dict of the function's own. Steps run in their order before everything else, on several
threads at once: a step keeps no state. Whenever it gives other pixels, give it another version.

Name and version are stored with the model, and a model is only loaded where this step is installed in this version. The
service finds steps of installed packages by the entry point group `line_inspector.preprocess_steps`, whose entry has
the step's name and points at its function (or any object of the module that registers it):

    [project.entry-points."line_inspector.preprocess_steps"]
    "acme.flat_field" = "acme_inspection.steps:flat_field"
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from importlib import metadata
from typing import Final

import numpy as np
from numpy.typing import NDArray

from inspector.anomaly.errors import ParameterError, StepError
from inspector.anomaly.preprocess.param import DLPreprocessParam, OptionValue, PreprocessStep

ENTRY_POINT_GROUP: Final = "line_inspector.preprocess_steps"

StepFunction = Callable[[NDArray[np.uint8], dict[str, OptionValue]], NDArray[np.uint8]]

_steps: dict[tuple[str, str], StepFunction] = {}
_lock = threading.RLock()  # loading an entry point registers


def register_preprocess_step(name: str, version: str) -> Callable[[StepFunction], StepFunction]:
    """Return a decorator that registers a function as this version of this step. Thread safe.

    Raises:
        ParameterError: Another function has this name and version, or they are not valid.
    """
    try:
        step = PreprocessStep(name=name, version=version)
    except ValueError as exc:
        raise ParameterError(
            f"a step's name and version may contain letters, digits, dots, dashes and underscores, got {name!r} and "
            f"{version!r}"
        ) from exc

    def register(function: StepFunction) -> StepFunction:
        with _lock:
            known = _steps.setdefault((step.name, step.version), function)
        if known is not function and _origin(known) != _origin(function):
            raise ParameterError(
                f"preprocess step {name} {version} is already registered by {_origin(known)}; give one of them "
                "another name or version"
            )
        return function

    return register


def check_preprocess_steps(preprocess_param: DLPreprocessParam) -> None:
    """Find every step that these parameters name. Thread safe.

    Raises:
        StepError: A step is not installed, or in another version; names it and what to install.
    """
    for step in preprocess_param.preprocess_steps:
        _find(step)


def run_preprocess_steps(image: NDArray[np.uint8], steps: Iterable[PreprocessStep]) -> NDArray[np.uint8]:
    """Run the steps in their order on a picture, which is left alone. Thread safe.

    Args:
        image: (H, W) or (H, W, 3) uint8.
        steps: With their options.

    Returns:
        (H, W) or (H, W, 3) uint8 of the same height and width.

    Raises:
        StepError: A step is not installed, fails, or returns something else; names it.
    """
    for step in steps:
        # Read-only: whoever is asked for a picture again, as after a failed batch, must find it as it was.
        given = image.view()
        given.flags.writeable = False
        try:
            made = _find(step)(given, dict(step.options))
        except MemoryError:
            raise
        except Exception as exc:
            if isinstance(exc, StepError):
                raise
            raise StepError(f"preprocess step {step.name} {step.version} failed: {type(exc).__name__}: {exc}") from exc
        image = _checked(step, made, image.shape[:2])
    return image


def _checked(step: PreprocessStep, made: object, size: tuple[int, ...]) -> NDArray[np.uint8]:
    expected = f"({size[0]}, {size[1]}) or ({size[0]}, {size[1]}, 3) uint8"
    if not isinstance(made, np.ndarray):
        raise StepError(f"preprocess step {step.name} {step.version} must return {expected}, got {type(made).__name__}")
    if made.dtype != np.uint8 or made.shape not in (size, (*size, 3)):
        raise StepError(
            f"preprocess step {step.name} {step.version} must return {expected}, got {made.shape} {made.dtype}"
        )
    return made


def _find(step: PreprocessStep) -> StepFunction:
    found = _steps.get((step.name, step.version))
    if found is not None:
        return found
    with _lock:
        for entry in metadata.entry_points(group=ENTRY_POINT_GROUP, name=step.name):
            try:
                entry.load()
            except Exception as exc:
                raise StepError(
                    f"preprocess step {step.name} cannot be loaded from {entry.value}: {type(exc).__name__}: {exc}; "
                    "repair or reinstall the package that contains it"
                ) from exc
        found = _steps.get((step.name, step.version))
        versions = sorted(version for name, version in _steps if name == step.name)
    if found is None:
        have = f"installed is {', '.join(versions)}" if versions else "it is not installed"
        raise StepError(
            f"preprocess step {step.name} {step.version} is needed, but {have}; install the package with this version "
            f"(entry point group {ENTRY_POINT_GROUP})"
        )
    return found


def _origin(function: StepFunction) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
