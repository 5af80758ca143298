"""Captions by others, compared by their words: which records tell of one picture, and which sentences tell nothing.

Text that was made by rule, or grounded, never comes here: equal words there mean equal labels, and join everything.
"""

import functools
import re
from dataclasses import dataclass

import numpy as np

from fusionrs_builder.captions import key
from fusionrs_builder.curate.groups import Keys, Numbers, Pairs, equal

COMMON = 50
"""Records of one sentence above which it names a kind of scene; it then links those records only whose captions are all
equal. RSICD's 54,605 captions are 18,185 sentences: linked by any of them, it would be one group."""

ROWS = 1 << 16
"""Records compared with all others in one go."""

BOILERPLATE = re.compile(
    r"https?://|www\.|©|copyright|all rights reserved|shutterstock|getty ?images|stock (photo|image|footage)"
    r"|click (here|to|for)|\b(no|missing) (caption|description|title)|not available|untitled|lorem ipsum"
    r"|^\W*+(img|dsc|image|photo|picture|file|screenshot)?[\W_]*+\d*+\.?(jpe?g|png|tiff?|gif|webp)?\W*+$",
    re.IGNORECASE,
)
"""Words of web pages and of file names, which say nothing of a picture. `*+` gives nothing back: a thousand dashes and
a letter took seconds without."""


WORDLESS = key("")
"""Of a sentence that is only punctuation: it says nothing, and equals no other."""


@dataclass(frozen=True)
class Sentences:
    """The distinct sentences of each record.

    Attributes:
        records: int64 [S]: whose each sentence is, ascending.
        keys: uint64 [S]: which one it is.
        count: number of all records, also of those without a sentence.
    """

    records: Numbers
    keys: Keys
    count: int

    def links(self) -> Pairs:
        """Records whose captions are equal, or that share half of the shorter list or more, int64 [L, 2]."""
        if not len(self.keys):
            return np.empty((0, 2), np.int64)
        return np.concatenate([self._all_equal(), self._half_equal()])

    def repeats(self) -> Numbers:
        """In how many records the rarest sentence of each record stands; 0 for a record without any."""
        which, counts = self._counted
        found = np.full(self.count, np.iinfo(np.int64).max)
        np.minimum.at(found, self.records, counts[which])
        return np.where(found == np.iinfo(np.int64).max, 0, found)

    @functools.cached_property
    def _counted(self) -> tuple[Numbers, Numbers]:
        """Number of each sentence, int64 [S], and in how many records each number stands."""
        _, which, counts = np.unique(self.keys, return_inverse=True, return_counts=True)
        return which, counts

    def _all_equal(self) -> Pairs:
        owners, starts = np.unique(self.records, return_index=True)
        return equal(np.add.reduceat(self.keys, starts), owners)  # the sum of a set does not depend on its order

    def _half_equal(self) -> Pairs:
        from scipy.sparse import csr_matrix

        which, counts = self._counted
        rare = (counts[which] > 1) & (counts[which] <= COMMON)
        shape = (self.count, len(counts))
        holds = csr_matrix((np.ones(int(rare.sum()), np.int16), (self.records[rare], which[rare])), shape=shape)
        sizes = np.bincount(self.records, minlength=self.count)
        held_by = holds.T.tocsr()
        found = [np.empty((0, 2), np.int64)]
        for start in range(0, self.count, ROWS):
            shared = (holds[start : start + ROWS] @ held_by).tocoo()
            left, right = shared.row.astype(np.int64) + start, shared.col.astype(np.int64)
            alike = (left < right) & (2 * shared.data >= np.minimum(sizes[left], sizes[right]))
            found.append(np.stack([left[alike], right[alike]], axis=1))
        return np.concatenate(found)
