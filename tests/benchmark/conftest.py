"""Small releases in memory, and a source of embeddings that are given."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from datasets import Dataset, Features, Image, List, Value
from numpy.typing import NDArray

from fusionrs_builder import pixels
from fusionrs_builder.benchmark.encoding import Vectors
from fusionrs_builder.benchmark.records import Records
from tests.conftest import picture

TEXTS = List(Value("string"))

FEATURES = Features(
    {
        **{name: Value("string") for name in ("id", "ir_origin", "ir_band", "corpus", "corpus_key", "origin_family")},
        **{name: Value("string") for name in ("group_id", "pixel_sha256", "ir_sha256")},
        "rgb": Image(decode=False),
        "ir": Image(decode=False),
        "scene_captions": TEXTS,
        "ir_captions": TEXTS,
        "caption_source": {"scene": TEXTS, "ir": TEXTS},
        "labels": TEXTS,
        "boxes": List({"label": Value("string"), **{side: Value("float32") for side in ("x0", "y0", "x1", "y1")}}),
        "width": Value("int32"),
        "height": Value("int32"),
        "gsd_m": Value("float32"),
    }
)


def row(key: str, seed: int, *, rgb: bool = True, **given: Any) -> dict[str, Any]:
    """One row of a release; the pictures of equal seeds are equal."""
    visible, infrared = picture(seed), picture(seed + 1000, channels=1)
    corpus = given.get("corpus", "eurosat")
    return {
        "id": f"{corpus}/{key}",
        "corpus": corpus,
        "corpus_key": key,
        "origin_family": corpus,
        "group_id": f"group:{key}",
        "rgb": {"bytes": pixels.encode_png(visible), "path": None} if rgb else None,
        "ir": {"bytes": pixels.encode_png(infrared), "path": None},
        "pixel_sha256": pixels.pixel_sha256(visible if rgb else infrared),
        "ir_sha256": pixels.pixel_sha256(infrared),
        "ir_origin": "measured",
        "ir_band": "nir",
        "scene_captions": [f"Scene number {key}."],
        "ir_captions": [f"Infrared view number {key}."],
        "caption_source": {"scene": ["publisher"] * len(given.get("scene_captions", [0])), "ir": ["grounded@v1"]},
        "labels": [],
        "boxes": [],
        "width": visible.shape[1],
        "height": visible.shape[0],
        "gsd_m": None,
        **given,
    }


def records(rows: Sequence[Mapping[str, Any]], split: str = "test") -> Records:
    return Records(Dataset.from_list([dict(one) for one in rows], features=FEATURES), "fusionrs", split)


class Given:
    """Embeddings by record id and view, and by text; what is not given is drawn by its name."""

    spec = name = "given"
    pretrained = "none"
    identity = "given"
    trained_on: tuple[str, ...] = ()

    def __init__(
        self,
        of: Records,
        views: Mapping[tuple[str, str], NDArray[np.float32]] | None = None,
        texts: Mapping[str, NDArray[np.float32]] | None = None,
        width: int = 8,
        has_text: bool = True,
        salt: str = "",
    ) -> None:
        self.of, self.width, self.has_text, self.salt = of, width, has_text, salt
        self.known, self.said = dict(views or {}), dict(texts or {})
        self.failing: set[tuple[str, str]] = set()

    def vector(self, name: str) -> NDArray[np.float32]:
        seed = int.from_bytes(hashlib.sha256(f"{self.salt}{name}".encode()).digest()[:4], "big")
        return np.random.default_rng(seed).standard_normal(self.width).astype(np.float32)

    def views(self, view: str, places: Sequence[int]) -> Vectors:
        names = [(self.of[place].id, "rgb" if view == "duplicate" else view) for place in places]
        rows = [self.known[name] if name in self.known else self.vector(" ".join(name)) for name in names]
        return Vectors(np.stack(rows), np.array([name in self.failing for name in names]))

    def texts(self, texts: Sequence[str]) -> Vectors | None:
        if not self.has_text:
            return None
        rows = [self.said[text] if text in self.said else self.vector(text) for text in texts]
        return Vectors(np.stack(rows), np.array([("", text) in self.failing for text in texts]))
