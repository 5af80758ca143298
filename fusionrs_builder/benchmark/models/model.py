"""What a model is to the benchmark: pictures and texts in, embeddings out; or a question in, words out."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Embeddings = NDArray[np.float32]
"""[N, d]. A row that holds a number that is not finite says that its item could not be embedded."""


class Encoders(NamedTuple):
    """A model that was loaded.

    Attributes:
        images: pictures of mode RGB and any size -> [N, d].
        texts: captions -> [N, d] of the same space; None for a model that takes no text.
        infrared: of a model of two towers, what embeds infrared views, and whatever is shown in their place.
    """

    images: Callable[[Sequence[Image.Image]], Embeddings]
    texts: Callable[[Sequence[str]], Embeddings] | None
    infrared: Callable[[Sequence[Image.Image]], Embeddings] | None = None


@dataclass(frozen=True)
class EmbeddingModel:
    """A model named by a spec, not loaded yet.

    Attributes:
        spec: as it was given, such as `open_clip:ViT-B-32/laion2b_s34b_b79k`.
        name: of the model in results, such as `ViT-B-32`.
        pretrained: of its weights in results, such as `laion2b_s34b_b79k`.
        identity: changes whenever an embedding could: kind, name, sha256 or revision of the weights, versions. Cached
            embeddings are known by it.
        open: loads it: torch device -> encoders.
        trained_on: names of corpora that it declares to have learnt from.
        cached: whether its embeddings are worth keeping on the disk.
        two_towers: whether infrared views have an encoder of their own.
    """

    spec: str
    name: str
    pretrained: str
    identity: str
    open: Callable[[str], Encoders]
    trained_on: tuple[str, ...] = ()
    cached: bool = True
    two_towers: bool = False


@dataclass(frozen=True)
class Question:
    """Something that a model is asked about a record.

    Attributes:
        key: unique in a run, such as `hit-uav/0_60_30_0_01609#count-Car`.
        prompt: the words.
        pictures: gives the pictures that go with them, in their order; called when it is asked.
        pictures_key: what these pixels are known by: an answer that was given for it is not asked for again.
        most_tokens: of the answer.
    """

    key: str
    prompt: str
    pictures: Callable[[], Sequence[Image.Image]]
    pictures_key: str
    most_tokens: int = 64


@dataclass(frozen=True)
class Answer:
    """What came back.

    Attributes:
        text: what the model said; None where it failed.
        error: what went wrong, in words without secrets; empty where nothing did.
    """

    text: str | None
    error: str = ""


Answers = Mapping[str, Answer]
"""By the key of the question."""


@dataclass(frozen=True)
class TextModel:
    """A model that answers in words, named by a spec, not loaded yet.

    Attributes:
        spec, name, pretrained, identity, trained_on: as those of `EmbeddingModel`.
        answer: asks it everything, on a torch device: (questions, device) -> an answer to each, by its key.
        looks: whether it is shown pictures; one that is not gives the same answers to all inputs.
    """

    spec: str
    name: str
    pretrained: str
    identity: str
    answer: Callable[[Iterable[Question], str], Answers]
    trained_on: tuple[str, ...] = ()
    looks: bool = True
