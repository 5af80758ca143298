"""Sentences made by rule from boxes and area shares, after the box-to-caption rules of RemoteCLIP.

One says what lies in the centre, one what lies elsewhere, one how many objects there are of each class (more than ten
are `many`), one how much of the image each class covers. They are template captions, never the publisher's.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from fusionrs_builder.corpora.mask_boxes import is_thing

MANY = 10
"""More objects than these are not counted."""

CENTRE = 0.25
"""An object is in the centre when its own centre is no further from the image's than this share of a side."""

MAX_CLASSES = 4
"""Classes named in a sentence, those with the most objects or the largest area."""

MIN_SHARE = 0.01
"""Smaller areas are not spoken of."""

NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")

PARTS = (
    (0.97, "nearly all"), (0.9, "nine tenths"), (0.8, "four fifths"), (0.75, "three quarters"), (0.67, "two thirds"),
    (0.6, "three fifths"), (0.5, "half"), (0.4, "two fifths"), (0.33, "a third"), (0.25, "a quarter"),
    (0.2, "a fifth"), (0.14, "a seventh"), (0.1, "a tenth"), (0.05, "a small part"),
)  # fmt: skip
"""Words for shares; a share takes the nearest."""

COUNTED = {"tree", "road", "vineyard", "shrub", "crop", "structure", "area"}
"""Last words of classes of ground that stand in the plural where they cover ground, as things do."""

IRREGULAR = {"person": "people"}


def of(boxes: Sequence[Mapping[str, Any]], shares: Mapping[str, float], size: tuple[int, int]) -> list[str]:
    """Captions of an image; none where there is nothing to say.

    Args:
        boxes: objects as in `schema.BOX`, in pixels of the image.
        shares: share of the image, 0..1, that each class covers.
        size: width and height of the image.
    """
    centred: Counter[str] = Counter()
    apart: Counter[str] = Counter()
    for box in boxes:
        (centred if _is_centred(box, size) else apart)[box["label"]] += 1
    said = []
    if centred:
        said.append(f"There {_are(centred)} in the center of the image.")
    if apart:
        said.append(f"There {_are(apart)} away from the center of the image.")
    if centred and apart:
        said.append(f"The image shows {_listed(centred + apart)}.")
    covered = sorted(((share, name) for name, share in shares.items() if share >= MIN_SHARE), reverse=True)
    parts = [f"{_part(share)} by {_ground(name)}" for share, name in covered[:MAX_CLASSES]]
    if parts:
        first, by, rest = parts[0].partition(" by ")
        said.append(f"{first[0].upper()}{first[1:]} of the image is covered{by}{_joined([rest, *parts[1:]])}.")
    return said


def _is_centred(box: Mapping[str, Any], size: tuple[int, int]) -> bool:
    across = (box["x0"] + box["x1"]) / 2 / size[0] - 0.5
    down = (box["y0"] + box["y1"]) / 2 / size[1] - 0.5
    return bool(max(abs(across), abs(down)) <= CENTRE)


def _are(counts: Counter[str]) -> str:
    first = counts.most_common(1)[0][1]
    return f"{'is' if first == 1 else 'are'} {_listed(counts)}"


def _listed(counts: Counter[str]) -> str:
    """`many cars, two trucks and one bus`."""
    return _joined([_counted(count, label) for label, count in counts.most_common(MAX_CLASSES)])


def _counted(count: int, label: str) -> str:
    noun = _words(label)
    if count == 1:
        return f"one {noun}"
    return f"{'many' if count > MANY else NUMBERS[count]} {_plural(noun)}"


def _part(share: float) -> str:
    """`about half`; `nearly all` and `a small part` are vague already."""
    word = min(PARTS, key=lambda part: abs(part[0] - share))[1]
    return word if word in (PARTS[0][1], PARTS[-1][1]) else f"about {word}"


def _ground(name: str) -> str:
    noun = _words(name)
    return _plural(noun) if is_thing(noun) or noun.split()[-1] in COUNTED else noun


def _words(label: str) -> str:
    """`storage_tank`, `StorageTank` and `storage-tank` as words in lower case."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", label)
    return " ".join(re.split(r"[\s_-]+", apart)).strip().lower() or "object"


def _plural(noun: str) -> str:
    start, space, word = noun.rpartition(" ")
    if word in IRREGULAR:
        return start + space + IRREGULAR[word]
    if word.endswith("craft") or re.search(r"[^su]s$", word):  # aircraft; a plural already
        return noun
    if re.search(r"(s|x|z|ch|sh)$", word):
        return noun + "es"
    return noun[:-1] + "ies" if re.search(r"[^aeiou]y$", word) else noun + "s"


def _joined(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"
