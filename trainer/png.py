"""Write a picture as PNG file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from trainer.errors import OutputError


def write_png(target: Path, picture: NDArray[np.uint8]) -> None:
    """Write (H, W, 3) RGB uint8; folders are made, a file that is there is replaced.

    Raises:
        OutputError: The file cannot be written.
    """
    is_coded, content = cv2.imencode(".png", picture[..., ::-1])
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_coded:
            raise OutputError(f"cannot code {target} as PNG")
        target.write_bytes(content.tobytes())
    except OSError as error:
        raise OutputError(f"cannot write the picture {target}: {error.strerror}") from error
