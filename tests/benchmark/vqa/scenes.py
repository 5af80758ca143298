"""Random towns seen from above, and the truth about them: counted here, by nothing of the package."""

import random
import re
from collections.abc import Mapping, Sequence
from typing import Any

from tests.benchmark.conftest import row

WIDTH, HEIGHT = 64, 48

CLASSES = {"Person": 14, "Car": 6, "storage_tank": 2}
"""The most of each that a town has."""

NOUNS = {
    "person": "Person", "people": "Person", "car": "Car", "cars": "Car", "bicycle": "Bicycle", "bicycles": "Bicycle",
    "storage tank": "storage_tank", "storage tanks": "storage_tank", "building": "building", "buildings": "building",
}  # fmt: skip


def box(label: str, x0: float, y0: float, x1: float, y1: float) -> dict[str, Any]:
    return {"label": label, "x0": x0, "y0": y0, "x1": x1, "y1": y1}


def frame(key: str, boxes: Sequence[Mapping[str, Any]], labels: Sequence[str] | None = None, **given: Any) -> dict:
    """A row with these boxes, of a thermal corpus without visible images; labels are those of the boxes."""
    return row(
        key, 1, rgb=False, boxes=list(boxes),
        labels=sorted({one["label"] for one in boxes}) if labels is None else list(labels),
        **{"corpus": "towns", "ir_band": "lwir", "width": WIDTH, "height": HEIGHT, **given},
    )  # fmt: skip


def towns(count: int, seed: int, **given: Any) -> list[dict]:
    """Rows with boxes anywhere; some have none, some a box that is no label."""
    drawn = random.Random(seed)
    rows = []
    for n in range(count):
        boxes = [
            box(label, x := drawn.uniform(0, WIDTH - 8), y := drawn.uniform(0, HEIGHT - 8), x + 6, y + 4)
            for label, most in CLASSES.items()
            if drawn.random() < 0.6
            for _ in range(drawn.choice([1, 1, drawn.randint(1, most)]))
        ]
        labels = {one["label"] for one in boxes}
        if drawn.random() < 0.05:
            boxes.append(box("DontCare", 1, 1, 9, 9))
        rows.append(frame(f"{seed}_{n:03d}", boxes, sorted(labels), **given))
    return rows


def truth(found: Mapping[str, Any], question: str) -> str:
    """The answer to a question about a row of a release."""
    boxes = found["boxes"]
    count = {label: sum(one["label"] == label for one in boxes) for label in NOUNS.values()}
    if asked := re.fullmatch(r"Is there an? (.+) in this infrared image\?", question):
        return "yes" if count[NOUNS[asked[1]]] else "no"
    if asked := re.fullmatch(r"How many (.+) are there in this infrared image\?", question):
        number = count[NOUNS[asked[1]]]
        return str(number) if number < 10 else "10 or more"
    if asked := re.fullmatch(r"Are there more (.+) than (.+) in this infrared image\?", question):
        first, second = count[NOUNS[asked[1]]], count[NOUNS[asked[2]]]
        assert first != second and first and second
        return "yes" if first > second else "no"
    if asked := re.fullmatch(r"In which quarter of this infrared image is the only (.+)\?", question):
        (one,) = [one for one in boxes if one["label"] == NOUNS[asked[1]]]
        right = (one["x0"] + one["x1"]) / 2 - found["width"] / 2
        below = (one["y0"] + one["y1"]) / 2 - found["height"] / 2
        assert abs(right) >= found["width"] / 20 - 1e-3 and abs(below) >= found["height"] / 20 - 1e-3
        return f"{'lower' if below > 0 else 'upper'} {'right' if right > 0 else 'left'}"
    assert question == "Was this infrared image taken by day or by night?"
    return {"0": "day", "1": "night"}[found["corpus_key"][0]]
