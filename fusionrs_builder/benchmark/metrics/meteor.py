"""METEOR-exact: METEOR 1.5 (Denkowski and Lavie, 2014) of equal words alone.

METEOR also matches stems, synonyms and paraphrases, by tables that come in a Java archive. Without these stages it is
lower, and its figures are never to be set beside those of METEOR. It equals `meteor-1.5.jar -l en -m exact` given the
same words, except where words repeat so often that one of the two, which both follow 40 alignments, misses the best.
"""

from collections import Counter

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.benchmark.metrics.captions import Captions, Floats
from fusionrs_builder.benchmark.metrics.scores import Scores

ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
"""METEOR 1.5 for English: the weight of recall, how the penalty of fragments grows, the most it takes, and the weight
of content words beside function words."""

BEAM = 40
"""Partial alignments that are followed at a time, as in METEOR 1.5."""

_FREQUENT = (
    "the to of and a in that for is on 's it with was as said at he by be from have has are his but an this not i will "
    "they -rrb- -lrb- who their had we which were been more or s its would about new one after you also up when there "
    "than $ all out her people she year two can if last first other over into some what so no time years could 't"
)
FUNCTION_WORDS = frozenset(_FREQUENT.split())
"""Words more frequent than one in a thousand in the news that METEOR 1.5 counted."""


def meteor_exact(captions: Captions) -> Scores:
    """METEOR-exact in [0, 1]: for each image by the reference that gives it most; of a corpus from their summed counts.

    An empty caption scores 0, and so do two.
    """
    every = np.arange(len(captions.ids))
    options, unsure = _options(captions)
    given = np.arange(len(options))[:, None] < captions.reference_counts
    scores, unsure = np.where(given, _meteor(options), -1), unsure & given
    while True:
        # An unsure score is an upper bound. The highest of each image is settled while it may be the image's best.
        highest = np.where(unsure, scores, -1).argmax(0)
        settled = np.where(unsure, -1, scores)
        images = np.flatnonzero(unsure[highest, every] & (scores[highest, every] >= settled.max(0)))
        if not len(images):
            return Scores(captions.ids, options[settled.argmax(0), every], _meteor)
        at = highest[images], images
        options[(*at, 6)] = [
            _chunks(captions.candidates[image].split(), captions.references[image][number].split())
            for number, image in zip(*at, strict=True)
        ]
        scores[at], unsure[at] = _meteor(options[at]), False


def _options(captions: Captions) -> tuple[Floats, NDArray[np.bool_]]:
    """What each reference would add, [K, N, 7], with the fewest chunks there can be, and where there may be more."""
    weights = np.array([1 - DELTA if word in FUNCTION_WORDS else DELTA for word in captions.vocabulary])
    words, pairs = captions.ngrams[:2]
    options = np.zeros((len(words.references), len(captions.ids), 7))
    unsure = np.zeros(options.shape[:2], bool)
    for number, (reference, their_pairs) in enumerate(zip(words.references, pairs.references, strict=True)):
        sides = (words.candidates, reference, words.candidates.minimum(reference))
        counts = options[number].T
        counts[:6] = [*(side.sum(1) for side in sides), *(side @ weights for side in sides)]
        # Two words that are neighbours in both captions save one chunk at most; where no matched word is repeated all
        # such pairs do. Captions of the same words may be equal.
        same = (counts[2] == counts[0]) & (counts[2] == counts[1])
        fewest = np.maximum(counts[2] - pairs.candidates.minimum(their_pairs).sum(1), counts[2] > 0)
        counts[6] = np.where(same, 0, fewest)
        unsure[number] = same | (words.candidates.multiply(reference).sum(1) != counts[2])
    return options, unsure


def _meteor(parts: Floats) -> Floats:
    """METEOR of [..., words of the candidate, of the reference, matched, the weights of these three, chunks]."""
    _, _, matched, weight, other_weight, shared, chunks = np.moveaxis(parts, -1, 0)
    some = matched > 0
    precision, recall = (shared / np.where(some, side, 1) for side in (weight, other_weight))
    mean = precision * recall / np.where(some, ALPHA * precision + (1 - ALPHA) * recall, 1)
    return np.asarray(mean * (1 - GAMMA * (chunks / np.where(some, matched, 1)) ** BETA))


def _chunks(words: list[str], others: list[str]) -> int:
    """Of all ways to match as many words as can be, the fewest runs of neighbours that the matches make up; 0 for equal
    captions, which are not torn at all.

    Partial alignments that take the same places of the other caption are one: the fewest runs among them, and the
    places at which a run of one so short may go on. Places are bits.
    """
    if words == others:
        return 0
    places: dict[str, list[int]] = {}
    for place, word in enumerate(others):
        places.setdefault(word, []).append(1 << place)
    coming = Counter(words)
    due = {word: min(count, len(places.get(word, ()))) for word, count in coming.items()}
    alignments = {0: (0, 0)}
    for word in words:
        coming[word] -= 1
        longer: dict[int, tuple[int, int]] = {}
        mine = places.get(word, [])
        for taken, (runs, ends) in alignments.items():
            free = [place for place in mine if not taken & place]
            steps = [(taken | place, runs + (not ends << 1 & place), place) for place in free]
            if len(mine) - len(free) + coming[word] >= due[word]:
                steps.append((taken, runs, 0))
            for key, count, end in steps:
                fewest, others_end = longer.get(key, (count, 0))
                if count <= fewest:
                    longer[key] = count, end | (others_end if count == fewest else 0)
        alignments = longer
        if len(longer) > BEAM:
            alignments = dict(sorted(longer.items(), key=lambda item: item[1][0])[:BEAM])
    return min(runs for runs, _ in alignments.values())
