"""Records that only repeat another: the same visible pixels, and the same infrared ones where a sensor saw them."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fusionrs_builder.curate.groups import NO_KEY, Keys, Numbers


def originals(rank: Numbers, usable: NDArray[np.bool_], keys: Sequence[Keys]) -> Numbers:
    """Find, for each record, the record whose content it repeats.

    Args:
        rank: place of each record in the order of precedence; the first of equal records is the original.
        usable: records that count; the others neither repeat nor are repeated.
        keys: contents that must all be equal. A record whose first key is missing repeats nothing.

    Returns:
        Number of the original; the record's own number where it repeats nothing.
    """
    found = np.arange(len(rank))
    candidates = np.flatnonzero(usable & (keys[0] != NO_KEY))
    if len(candidates) == 0:
        return found
    order = candidates[np.lexsort((rank[candidates], *(values[candidates] for values in keys)))]
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = np.logical_or.reduce([values[order][1:] != values[order][:-1] for values in keys])
    found[order] = order[fresh][np.cumsum(fresh) - 1]
    return found
