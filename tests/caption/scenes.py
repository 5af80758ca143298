"""Rendered scenes, boxes and strangers' labels for the tests of this folder."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

Gray = NDArray[np.uint8]

SIDE = 96


def flat(level: int, width: int = SIDE, height: int = SIDE) -> Gray:
    return np.full((height, width), level, np.uint8)


def square(image: Gray, x0: int, y0: int, x1: int, y1: int, level: int) -> Gray:
    painted = image.copy()
    painted[y0:y1, x0:x1] = level
    return painted


def box(label: str, x0: float, y0: float, x1: float, y1: float, polygon: list[float] | None = None) -> dict[str, Any]:
    return {"label": label, "x0": x0, "y0": y0, "x1": x1, "y1": y1, "polygon": polygon or []}


def colour(red: int, green: int, blue: int, side: int = SIDE) -> NDArray[np.uint8]:
    return np.broadcast_to(np.array([red, green, blue], np.uint8), (side, side, 3)).copy()


grays = st.one_of(
    hnp.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.builds(
        lambda seed, blocks, height, width: np.kron(
            np.random.default_rng(seed).integers(0, 256, (blocks, blocks), dtype=np.uint8),
            np.ones((height, width), np.uint8),
        ),
        st.integers(0, 10**6),
        st.integers(1, 6),
        st.integers(3, 20),
        st.integers(3, 20),
    ),
)
"""Noise of any small shape, and coarse blocks in which regions and objects stand out."""

sides = st.floats(-30, 130, allow_nan=False, width=32)

labels = st.one_of(
    st.sampled_from(
        ["Car", "Person", "OtherVehicle", "Bus", "grass", "buildings", "storage_tank", "Hot_Spring", "red-roof",
         "thermal_power_station", "metal roof", "SeaLake", "{counts}", "a\x00b\u202ec", "", "People", "CoolingTower",
         "water", "hour glass", "unit", "{a} {0.__class__}", "Aircraft", "汽车", "White Car", "%s", "university"]
    ),
    st.text(max_size=60),
)  # fmt: skip


@st.composite
def boxes(draw: st.DrawFn, named: st.SearchStrategy[str] = labels) -> list[dict[str, Any]]:
    """Up to eight boxes: in the frame, across its border, outside, empty, tiny, with an outline or without."""
    found = []
    for _ in range(draw(st.integers(0, 8))):
        x0, y0 = draw(sides), draw(sides)
        x1, y1 = (start + draw(st.one_of(st.floats(0, 2, width=32), st.floats(0, 60, width=32))) for start in (x0, y0))
        polygon = draw(st.sampled_from([[], [x0, y0, x1, y0, x1, y1], [x0, y0, x1, y0, x1, y1, x0, y1], [x0, y0]]))
        found.append(box(draw(named), x0, y0, x1, y1, list(polygon)))
    return found
