"""Candidates and references of the same images, and the n-grams of both, counted once for all metrics."""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from fusionrs_builder.errors import FusionError

ORDERS = 4
"""N-grams of one word to so many are counted."""

SHOWN = 5
"""Ids that a message names."""

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
Counts: TypeAlias = Any
"""A sparse array of float64, [N, n-grams]: how often each n-gram stands in a caption of each image."""


@dataclass(frozen=True)
class NGrams:
    """The n-grams of one order in all captions.

    Attributes:
        candidates: of each image's candidate.
        references: of each image's first reference, of its second and so on; the row of an image without is empty.
        heads, last: [G] each n-gram as its words but the last, by their column in the order below, and its last word,
            by its number.
    """

    candidates: Counts
    references: tuple[Counts, ...]
    heads: Integers
    last: Integers


class Captions:
    """Captions of N images, as `tokens.tokenise` splits them: one candidate an image, and one reference or more.

    Attributes:
        ids: of the images, in the order of the candidates.
        candidates: [N] one caption each; it may be empty.
        references: [N] one caption or more each; they may be empty.
    """

    def __init__(self, candidates: Mapping[str, str], references: Mapping[str, Sequence[str]]) -> None:
        """Pair what is given by image.

        Raises:
            FusionError: there is no image, an image has no candidate or no reference, or its references are one string.
        """
        if not candidates and not references:
            raise FusionError("there are no captions to score; give one candidate and one reference or more an image")
        _refuse((name for name in references if name not in candidates), "has references and no candidate")
        _refuse((name for name in candidates if not references.get(name)), "has a candidate and no reference")
        _refuse((name for name in references if isinstance(references[name], str)), "has a string for its references")
        self.ids = tuple(candidates)
        self.candidates = list(candidates.values())
        self.references = [list(references[name]) for name in self.ids]
        self.reference_counts: Integers = np.array([len(captions) for captions in self.references], np.int64)
        self._rows = 1 + int(self.reference_counts.max())

    @cached_property
    def lengths(self) -> Integers:
        """[1 + K, N] words of each image's candidate, of its first reference and so on; -1 where it has none."""
        lengths = np.full(self._rows * len(self.ids), -1)
        rows, captions, _ = self._words
        lengths[rows] = [len(words) for words in captions]
        return lengths.reshape(self._rows, -1)

    @cached_property
    def vocabulary(self) -> tuple[str, ...]:
        """The words, by their numbers, which are the columns of the n-grams of order one."""
        return tuple(self._words[2])

    @cached_property
    def ngrams(self) -> tuple[NGrams, ...]:
        """The n-grams of order one, two and so on."""
        rows, captions, numbers = self._words
        lengths = [len(words) for words in captions]
        words = np.fromiter(map(numbers.__getitem__, itertools.chain.from_iterable(captions)), np.int64)
        row, left = np.repeat(rows, lengths), np.repeat(np.cumsum(lengths), lengths) - np.arange(len(words))
        starts, columns, last = np.arange(len(words)), words, np.arange(len(numbers))
        found = [self._counted(row, columns, last, last)]
        for order in range(2, ORDERS + 1):
            longer = left[starts] >= order
            starts = starts[longer]
            # An n-gram is its first words, known by their column, and its last: one number of both sorts fast.
            both = columns[longer] * len(numbers) + words[starts + order - 1]
            unique, columns = np.unique(both, return_inverse=True)
            found.append(self._counted(row[starts], columns, *np.divmod(unique, max(len(numbers), 1))))
        return tuple(found)

    def spelt(self) -> Iterator[list[str]]:
        """For each order its n-grams by their columns, as words with a space between."""
        texts: list[str] = []
        for order, grams in enumerate(self.ngrams):
            words = [self.vocabulary[word] for word in grams.last]
            texts = [f"{texts[head]} {word}" for head, word in zip(grams.heads, words, strict=True)] if order else words
            yield texts

    def _counted(self, rows: Integers, columns: Integers, heads: Integers, last: Integers) -> NGrams:
        images = len(self.ids)
        shape = (images * self._rows, len(last))
        counts = sparse.coo_array((np.ones(len(columns)), (rows, columns)), shape=shape).tocsr()
        candidates, *references = (counts[start : start + images] for start in range(0, shape[0], images))
        return NGrams(candidates, tuple(references), heads, last)

    @cached_property
    def _words(self) -> tuple[Integers, list[list[str]], dict[str, int]]:
        """Of every caption its row among the counts and its words, and the numbers of all words."""
        images, counts = len(self.ids), self.reference_counts
        captions = [caption.split() for caption in itertools.chain(self.candidates, *self.references)]
        numbers: defaultdict[str, int] = defaultdict(itertools.count().__next__)
        for word in itertools.chain.from_iterable(captions):
            numbers[word]
        which = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        owners = np.repeat(np.arange(images), counts)
        return np.concatenate([np.arange(images), (1 + which) * images + owners]), captions, dict(numbers)


def _refuse(names: Iterator[str], what: str) -> None:
    """Name the images that something is wrong with."""
    if wrong := list(names):
        more = f", and {len(wrong) - SHOWN} more like it" if len(wrong) > SHOWN else ""
        raise FusionError(
            f"image {', '.join(wrong[:SHOWN])} {what}{more}; every image needs one candidate and a list of one "
            "reference or more"
        )
