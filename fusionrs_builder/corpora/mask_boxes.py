"""From a mask to boxes: each connected component of a class of things becomes one (RemoteCLIP's mask-to-box).

Things that touch are one component, and so one box; a class that covers ground (water, forest) gives none.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from fusionrs_builder.corpora.reader import box

THINGS = {
    "aeroplane", "airplane", "bicycle", "boat", "bridge", "building", "bus", "car", "container", "court",
    "greenhouse", "helicopter", "house", "human", "motorcycle", "person", "plane", "pool", "ship", "tank", "tractor",
    "train", "truck", "tower", "turbine", "van", "vehicle",
}  # fmt: skip
"""Last words, in the singular, of the names of classes whose instances are counted."""

MIN_PIXELS = 16
"""Smaller components are taken for noise of the mask."""

MAX_BOXES = 300
"""Components kept of a class, the largest first."""

TOUCHING = np.ones((3, 3), int)
"""Pixels that meet at a corner are connected."""


def is_thing(name: str) -> bool:
    """Whether the instances of a class are counted, rather than its area measured."""
    word = name.lower().replace("_", " ").split()[-1:] or [""]
    return word[0] in THINGS or word[0].removesuffix("s") in THINGS


def boxes(classes: NDArray[np.int16], names: Sequence[str]) -> list[dict[str, Any]]:
    """A box for each component of the classes of things, by class, then from the largest to the smallest.

    Args:
        classes: number of the class of each pixel [H, W]; others than those of `names` are nothing.
        names: of the classes.

    Returns:
        Boxes as in `schema.BOX`, in pixels of the mask.
    """
    found = []
    for number, name in enumerate(names):
        if not is_thing(name):
            continue
        components, count = ndimage.label(classes == number, TOUCHING)
        sizes = np.bincount(components.ravel(), minlength=count + 1)[1:]
        places = ndimage.find_objects(components)
        largest = [one for one in np.argsort(-sizes, kind="stable")[:MAX_BOXES] if sizes[one] >= MIN_PIXELS]
        for rows, columns in (places[one] for one in largest):
            found.append(box(name, float(columns.start), float(rows.start), float(columns.stop), float(rows.stop)))
    return found


def shares(classes: NDArray[np.int16], names: Sequence[str]) -> Mapping[str, float]:
    """Share of the image, 0..1, of each class that is there, the largest first."""
    counts = np.bincount(classes[(classes >= 0) & (classes < len(names))].ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    return {names[number]: float(counts[number] / classes.size) for number in order if counts[number]}
