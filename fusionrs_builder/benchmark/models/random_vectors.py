"""`random`: embeddings that know nothing, the floor that every table shows."""

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.errors import UsageError

WIDTH = 64


def model(rest: str) -> EmbeddingModel:
    """The model; the same picture or text has the same embedding in every run.

    Args:
        rest: of the spec: nothing.

    Raises:
        UsageError: it is something.
    """
    if rest:
        raise UsageError(f"random:{rest}: the model `random` takes nothing after its name")
    encoders = Encoders(_images, _texts)
    return EmbeddingModel("random", "random", "control", "random 1", lambda device: encoders, cached=False)


def _images(pictures: Sequence[Image.Image]) -> Embeddings:
    return _drawn([f"{picture.size}\n".encode() + picture.tobytes() for picture in pictures])


def _texts(captions: Sequence[str]) -> Embeddings:
    return _drawn([caption.encode() for caption in captions])


def _drawn(items: Sequence[bytes]) -> Embeddings:
    """Numbers even between -1 and 1 from the hash itself: no generator, whose stream a new version might change."""
    digests = b"".join(hashlib.shake_256(item).digest(4 * WIDTH) for item in items)
    rows: Embeddings = (np.frombuffer(digests, "<u4").reshape(-1, WIDTH) / 2**31 - 1).astype(np.float32)
    return rows
