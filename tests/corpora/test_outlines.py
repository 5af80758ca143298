import math

from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.corpora.outlines import corners, outlined


def test_the_box_is_the_one_around_the_outline() -> None:
    made = outlined("ship", [5, 1, 9, 4, 5, 8, 1, 4])
    assert made == {"label": "ship", "x0": 1, "y0": 1, "x1": 9, "y1": 8, "polygon": [5, 1, 9, 4, 5, 8, 1, 4]}


@given(*[st.floats(-2000, 2000) for _ in range(2)], *[st.floats(1, 500) for _ in range(2)], st.floats(-7, 7))
def test_a_turned_box_keeps_its_centre_area_and_angle(x: float, y: float, w: float, h: float, angle: float) -> None:
    found = corners(x, y, w, h, angle)
    across, down = found[::2], found[1::2]
    assert math.isclose(sum(across) / 4, x, abs_tol=1e-6) and math.isclose(sum(down) / 4, y, abs_tol=1e-6)
    area = sum(across[i - 1] * down[i] - across[i] * down[i - 1] for i in range(4)) / 2
    assert math.isclose(area, w * h, rel_tol=1e-6, abs_tol=1e-3)
    edge = across[1] - across[0], down[1] - down[0]
    assert math.isclose(edge[0] * math.cos(angle) + edge[1] * math.sin(angle), w, rel_tol=1e-6)
