import numpy as np

from fusionrs_builder.curate import duplicates


def keys(*values: int) -> duplicates.Keys:
    return np.array(values, np.uint64)


def test_the_original_is_the_first_usable_by_rank() -> None:
    pixels, seen = keys(5, 5, 5, 5, 0, 0), keys(0, 0, 0, 3, 0, 0)
    rank = np.array([3, 0, 1, 2, 4, 5])
    usable = np.array([True, False, True, True, True, True])
    # 1 comes first but is not usable; 3 differs in the second content; 4 and 5 have no content at all.
    assert duplicates.originals(rank, usable, (pixels, seen)).tolist() == [2, 1, 2, 3, 4, 5]
