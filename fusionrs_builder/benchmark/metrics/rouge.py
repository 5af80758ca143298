"""ROUGE-L (Lin, 2004) as pycocoevalcap takes it: of the best precision and the best recall over the references."""

import numpy as np

from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.scores import Scores, mean_of

BETA = 1.2
"""How many times as much recall weighs as precision."""


def rouge_l(captions: Captions) -> Scores:
    """ROUGE-L in [0, 1]; the corpus value is the mean. A caption of no words counts as one empty word."""
    return mean_of(captions.ids, np.array(list(map(_score, captions.candidates, captions.references))))


def _score(candidate: str, references: list[str]) -> float:
    """Of one image."""
    words = candidate.split(" ")
    places: dict[str, int] = {}
    for place, word in enumerate(words):
        places[word] = places.get(word, 0) | 1 << place
    precision = recall = 0.0
    for reference in references:
        others = reference.split(" ")
        common = _common(places, len(words), others)
        precision, recall = max(precision, common / len(words)), max(recall, common / len(others))
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision) if precision else 0.0


def _common(places: dict[str, int], length: int, others: list[str]) -> int:
    """Words of the longest common subsequence, by bits (Hyyrö, 2004): a bit a word of the first caption.

    Args:
        places: of each word of the first caption, as bits.
        length: of the first caption, in words.
        others: the second caption.
    """
    free = full = (1 << length) - 1
    for word in others:
        if here := places.get(word):
            met = free & here
            free = (free + met | free - met) & full
    return length - free.bit_count()
