"""Draw docs/thermal.jpg: eight aerial and drone tiles as RGB, as gray, as a translator draws them; and thermal frames.

python -m docs.make_thermal [SPEC] [OUT]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from benchmarks.translators import THERMAL, VISIBLE, folder
from fusionrs_builder import config, pipeline
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.translate.scores.records import entries, read, sample
from fusionrs_builder.translate.translator import Translator, load_translator
from fusionrs_builder.workspace import Workspace

SHOWN = {"naip-opengeos": 1, "oam-buildings": 7}

SIDE, GAP = 160, 3
"""Of a picture, and between two, pixels."""

Picture = NDArray[np.uint8]


def drawn(translator: Translator, rgb: Picture) -> Picture:
    return np.asarray(translator.translate(np.ascontiguousarray(rgb.transpose(2, 0, 1)[None]))[0, 0])


def row(pictures: list[Picture]) -> Picture:
    """Pictures beside each other: uint8 [SIDE + 2 GAP, W, 3]."""
    shown = []
    for picture in pictures:
        side = min(256, *picture.shape[:2])
        y, x = ((length - side) // 2 for length in picture.shape[:2])
        middle = Image.fromarray(picture[y : y + side, x : x + side]).convert("RGB")
        small = np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.LANCZOS))
        shown.append(np.pad(small, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255))
    return np.concatenate(shown, 1)


def main(spec: str = "lwir-small", out: str = "docs/thermal.jpg") -> None:
    """Draw the picture."""
    samples = config.samples_folder()
    if samples is None:
        sys.exit("the sample corpora are not at hand: name their folder by FUSIONRS_SAMPLES")
    translator, gray = load_translator(spec), load_translator("gray")
    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace.open(Path(place) / "ws", create=True)
        for name in (*VISIBLE, THERMAL):
            pipeline.download(workspace, name, from_=folder(samples, name), run=Run(1))
        found = entries(workspace, lambda entry: entry.side >= 256)
        tiles = [
            entry
            for corpus, n in SHOWN.items()
            for entry in sample([entry for entry in found if entry.corpus == corpus], n, seed=3)
        ]
        frames = sample([entry for entry in found if entry.corpus == THERMAL], len(tiles), seed=3)
        rgb = [record.rgb for record in read(workspace, tiles) if record.rgb is not None]
        real = [record.ir for record in read(workspace, frames) if record.ir is not None]
    rows = [row(rgb), *(row([drawn(each, view) for view in rgb]) for each in (gray, translator)), row(real)]
    Image.fromarray(np.concatenate(rows)).save(out, quality=88)
    print(Path(out).resolve())


if __name__ == "__main__":
    main(*sys.argv[1:])
