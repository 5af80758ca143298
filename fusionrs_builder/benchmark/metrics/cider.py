"""CIDEr-D (Vedantam et al., 2015) as pycocoevalcap takes it, which names it CIDEr: how alike the n-grams of two
captions are, those of few images before others; clipped, and less for captions of unlike length.
"""

import functools
import operator
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from fusionrs_builder.benchmark.metrics.captions import Captions, Counts, Floats
from fusionrs_builder.benchmark.metrics.scores import Scores, mean_of
from fusionrs_builder.errors import FusionError

SIGMA = 6.0
"""Words that two captions may differ by in length at the cost of a factor of 0.61."""

SCALE = 10.0


@dataclass(frozen=True)
class DocumentFrequencies:
    """In the references of how many images each n-gram stands.

    Attributes:
        images: how many images there were.
        counts: of those that have each n-gram, by its words with a space between; what is not named has none.
    """

    images: int
    counts: Mapping[str, int]


def document_frequencies(captions: Captions) -> DocumentFrequencies:
    """Of the references; with them a part of the images is scored by the weights of all."""
    counts: dict[str, int] = {}
    for texts, grams in zip(captions.spelt(), captions.ngrams, strict=True):
        images = _images(grams.references)
        counts |= {texts[column]: int(images[column]) for column in np.flatnonzero(images)}
    return DocumentFrequencies(len(captions.ids), counts)


def cider_d(captions: Captions, frequencies: DocumentFrequencies | None = None) -> Scores:
    """CIDEr-D in [0, 10]; the corpus value is the mean.

    Args:
        captions: what is scored.
        frequencies: what n-grams are weighed by; those of the references at hand when None. One image alone then
            scores 0, since every n-gram stands in all images.

    Raises:
        FusionError: an n-gram stands in more images than there are.
    """
    if frequencies is None:
        images, known = len(captions.ids), [_images(grams.references) for grams in captions.ngrams]
    else:
        images, known = frequencies.images, _looked_up(captions, frequencies)
    # pycocoevalcap takes a caption's bigrams for its length: one less than its words, and 0 of none.
    lengths = np.maximum(captions.lengths - 1, 0)
    likeness = np.exp(-((lengths[1:] - lengths[0]) ** 2) / (2 * SIGMA**2))
    total = np.zeros(len(captions.ids))
    for grams, having in zip(captions.ngrams, known, strict=True):
        weights = np.log(images) - np.log(np.maximum(having, 1))
        candidates, norm = _weighed(grams.candidates, weights)
        for like, counts in zip(likeness, grams.references, strict=True):
            reference, other_norm = _weighed(counts, weights)
            shared, norms = candidates.minimum(reference).multiply(reference).sum(1), norm * other_norm
            total += like * np.divide(shared, norms, out=np.zeros_like(norms), where=norms > 0)
    return mean_of(captions.ids, SCALE * total / len(captions.ngrams) / captions.reference_counts)


def _looked_up(captions: Captions, frequencies: DocumentFrequencies) -> list[Floats]:
    """[G] of each order: images that have each n-gram, as counted elsewhere."""
    many = next((text for text, count in frequencies.counts.items() if count > frequencies.images), None)
    if frequencies.images < 1 or many is not None:
        raise FusionError(
            f"document frequencies of {frequencies.images} images: {many!r} stands in more; give what "
            "`document_frequencies` counts"
        )
    return [np.array([frequencies.counts.get(text, 0) for text in texts], np.float64) for texts in captions.spelt()]


def _images(references: tuple[Counts, ...]) -> Floats:
    """[G] images that have each n-gram in any reference."""
    together = functools.reduce(operator.add, references)
    return np.bincount(together.indices, minlength=together.shape[1]).astype(np.float64)


def _weighed(counts: Counts, weights: Floats) -> tuple[Counts, Floats]:
    """Counts [N, G] times the weights [G], and the norm of each row, [N]."""
    vectors = counts.copy()
    vectors.data = vectors.data * weights[vectors.indices]
    return vectors, np.sqrt(vectors.power(2).sum(1))
