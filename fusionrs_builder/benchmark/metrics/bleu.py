"""BLEU-1 to BLEU-4 (Papineni et al., 2002), with the closest reference length and the smoothing of pycocoevalcap."""

from functools import partial

import numpy as np

from fusionrs_builder.benchmark.metrics.captions import ORDERS, Captions, Floats, Integers
from fusionrs_builder.benchmark.metrics.scores import Scores

TINY, SMALL = 1e-15, 1e-9
"""Added above and below each fraction, as pycocoevalcap does: no match counts 1e-15, not zero."""


def bleu(captions: Captions) -> tuple[Scores, ...]:
    """BLEU-1 to BLEU-4, in [0, 1].

    The corpus value pools the counts of all images. Of two references equally close in length the shorter counts.
    An empty candidate scores 0.
    """
    lengths = captions.lengths
    guesses = [np.maximum(lengths[0] - order, 0) for order in range(ORDERS)]
    correct = []
    for grams in captions.ngrams:
        most = grams.references[0]
        for reference in grams.references[1:]:
            most = most.maximum(reference)
        correct.append(grams.candidates.minimum(most).sum(1))
    parts = np.stack([lengths[0], _closest(lengths), *guesses, *correct], -1).astype(np.float64)
    return tuple(Scores(captions.ids, parts, partial(_bleu, order=order)) for order in range(1, ORDERS + 1))


def _closest(lengths: Integers) -> Integers:
    """[N] the length of the reference closest in length to the candidate."""
    candidate, references = lengths[0], lengths[1:]
    longest = lengths.max() + 1
    distance = np.where(references < 0, longest**2, np.abs(references - candidate) * longest + references)
    return np.asarray(np.take_along_axis(references, distance.argmin(0)[None], 0)[0])


def _bleu(parts: Floats, order: int) -> Floats:
    """BLEU of [..., candidate length, reference length, n-grams of each order, those that match of each order]."""
    guesses, correct = parts[..., 2 : 2 + order], parts[..., 2 + ORDERS : 2 + ORDERS + order]
    precision = ((correct + TINY) / (guesses + SMALL)).prod(-1) ** (1 / order)
    ratio = (parts[..., 0] + TINY) / (parts[..., 1] + SMALL)
    return np.asarray(precision * np.exp(np.minimum(1 - 1 / ratio, 0)))
