"""What a spec of a model that embeds stands for."""

from collections.abc import Callable

from fusionrs_builder.benchmark.models import hugging_face, open_clip, python_function, random_vectors, trained
from fusionrs_builder.benchmark.models.model import EmbeddingModel
from fusionrs_builder.errors import UsageError

KINDS: dict[str, Callable[[str], EmbeddingModel]] = {
    "open_clip": open_clip.model,
    "hf": hugging_face.model,
    "python": python_function.model,
    "random": random_vectors.model,
    "train": trained.model,
}
"""By what stands before the first colon of a spec; each takes what stands after it."""

FORMS = (
    "open_clip:ARCH/PRETRAINED_OR_PATH", "hf:ORG/NAME_OR_FOLDER", "python:MODULE:FUNCTION", "train:RUN", "random",
    "embeddings:FILE.npz",
)  # fmt: skip
"""How specs are written, that of embeddings made elsewhere (`stored`) with them."""


def embedding_model(spec: str) -> EmbeddingModel:
    """The model that a spec names, not loaded.

    Raises:
        UsageError: there is no such kind of model, or as the kind has it.
        FusionError: as the kind has it.
    """
    kind, _, rest = spec.partition(":")
    if kind not in KINDS:
        raise UsageError(f"{spec!r} names no model: write one of {', '.join(FORMS)}")
    return KINDS[kind](rest)
