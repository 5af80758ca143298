"""How well curate tells copies from strangers, on the tiles of the samples: two tables.

Each tile is copied in several ways. A copy is found when the search joins it with its original; a false merge is a tile
that it joins with one of another place. Tiles without structure, such as open sea, are compared by their pixels alone
and stand in a row of their own.

    python -m benchmarks.copies
"""

import io
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks import machine
from benchmarks.tiles import Picture, tiles
from fusionrs_builder import pixels
from fusionrs_builder.curate import groups, near_duplicates

RADIUS = 4


def jpeg(tile: Picture, quality: int) -> Picture:
    sink = io.BytesIO()
    Image.fromarray(tile).save(sink, "JPEG", quality=quality)
    return np.asarray(Image.open(sink))


def resized(tile: Picture, scale: float) -> Picture:
    image = Image.fromarray(tile)
    size = max(16, round(image.width * scale)), max(16, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


def cropped(tile: Picture, left: float = 0.0, right: float = 0.0, above: float = 0.0, below: float = 0.0) -> Picture:
    """Without these shares of the width and height."""
    high, wide = tile.shape[:2]
    return tile[round(high * above) : high - round(high * below), round(wide * left) : wide - round(wide * right)]


COPIES: dict[str, Callable[[Picture], Any]] = {
    "JPEG, quality 95": lambda tile: jpeg(tile, 95),
    "JPEG, quality 75": lambda tile: jpeg(tile, 75),
    "JPEG, quality 50": lambda tile: jpeg(tile, 50),
    "half the size": lambda tile: resized(tile, 0.5),
    "1.5 times the size": lambda tile: resized(tile, 1.5),
    "mirrored": lambda tile: tile[:, ::-1],
    "turned by 90 degrees": np.rot90,
    "turned by 180 degrees": lambda tile: np.rot90(tile, 2),
    "transposed": lambda tile: tile.swapaxes(0, 1),
    "turned, 0.7 of the size, JPEG 75": lambda tile: jpeg(resized(np.rot90(tile), 0.7), 75),
    "cropped by 2 %, the middle": lambda tile: cropped(tile, 0.01, 0.01, 0.01, 0.01),
    "cropped by 4 %, the middle": lambda tile: cropped(tile, 0.02, 0.02, 0.02, 0.02),
    "cropped by 2 %, on one side": lambda tile: cropped(tile, left=0.02),
}


class Described:
    """Hashes, uint64 [N, 16], and looks, uint8 [N, 256], of pictures."""

    def __init__(self, shown: list[Picture]) -> None:
        each = [pixels.described(np.ascontiguousarray(picture)) for picture in shown]
        self.hashes = np.array([one["phash16"] for one in each], np.uint64)
        self.looks = np.array([np.frombuffer(one["look"], np.uint8) for one in each])


def joined(*parts: tuple[groups.Keys, NDArray[np.uint8]]) -> groups.Numbers:
    """The group of each picture."""
    hashes, looks = (np.concatenate([part[kind] for part in parts]) for kind in (0, 1))
    links = near_duplicates.links(hashes, lambda some: looks[some], RADIUS)
    return groups.connected(len(hashes), [links])


def main() -> dict[str, Any]:
    """Measure, print and save."""
    named = tiles()
    places, shown = [place for place, _ in named], [tile for _, tile in named]
    first = Described(shown)
    sharp = np.flatnonzero(~near_duplicates.is_plain(first.looks))
    alone = joined((first.hashes[sharp], first.looks[sharp]))
    members: dict[int, set[str]] = {}
    for group, number in zip(alone.tolist(), sharp, strict=True):
        members.setdefault(group, set()).add(places[number])
    false = sum(len(members[group]) > 1 for group in alone.tolist())
    result: dict[str, Any] = {
        "tiles": len(shown),
        "without_structure": len(shown) - len(sharp),
        "compared": len(sharp),
        "falsely_merged_tiles": false,
        "false_merge_share": round(false / len(sharp), 5),
        "recall": {},
        "machine": machine.facts("cpu"),
    }
    print(
        f"{len(shown)} tiles, {len(shown) - len(sharp)} of them without structure; {false} of the others falsely merged"
    )
    for name, copied in COPIES.items():
        again = Described([copied(shown[number]) for number in sharp])
        group = joined((first.hashes[sharp], first.looks[sharp]), (again.hashes, again.looks))
        recall = float((group[: len(sharp)] == group[len(sharp) :]).mean())
        result["recall"][name] = round(recall, 4)
        print(f"{name:34} recall {recall:.4f}")
    print(machine.save("copies", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
