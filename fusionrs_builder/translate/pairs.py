"""A scene seen twice: what a translator is trained on where there are pairs, and scored against."""

import re
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.errors import UsageError


class Pair(NamedTuple):
    """One scene seen twice.

    Attributes:
        key: of the record.
        rgb: uint8 [H, W, 3].
        ir: uint8 [H, W].
    """

    key: str
    rgb: NDArray[np.uint8]
    ir: NDArray[np.uint8]


def pattern(text: str | None) -> re.Pattern[str] | None:
    """Compile a regular expression given by a user."""
    try:
        return None if text is None else re.compile(text)
    except re.error as error:
        raise UsageError(f"{text!r} is not a regular expression: {error}") from None
