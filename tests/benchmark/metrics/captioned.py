"""The stored fixtures of the caption metrics; `make_fixtures.py` makes them."""

import functools
import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.scores import Scores

NAMES = ("random", "written")


@functools.cache
def fixture(name: str) -> dict[str, Any]:
    """`captions` and their `tokens` by image, the candidate first; `images` and `corpus`, the scores by metric."""
    stored: dict[str, Any] = json.loads(
        gzip.decompress((Path(__file__).parent / "fixtures" / f"{name}.json.gz").read_bytes())
    )
    return stored


@functools.cache
def captions(name: str) -> Captions:
    """The tokens of the Java tool, as captions."""
    tokens = fixture(name)["tokens"]
    return Captions(
        {f"image-{number}": each[0] for number, each in enumerate(tokens)},
        {f"image-{number}": each[1:] for number, each in enumerate(tokens)},
    )


def of(*images: list[str]) -> Captions:
    """Captions of images that are told as the candidate and the references of each."""
    return Captions(
        {f"image-{number}": each[0] for number, each in enumerate(images)},
        {f"image-{number}": each[1:] for number, each in enumerate(images)},
    )


def assert_equal(scores: Scores, name: str, metric: str) -> None:
    """Every image, and all together, score what the tool said, to 1e-6."""
    stored = fixture(name)
    assert len(scores.images) == len(stored["tokens"]) > 0
    assert np.abs(scores.images - stored["images"][metric]).max() < 1e-6
    assert abs(scores.corpus - stored["corpus"][metric]) < 1e-6
