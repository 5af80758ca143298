"""Draw docs/translations.jpg: 24 real chips as RGB, as a sensor measured them, as gray, and as a translator draws them.

python -m docs.make_translations [SPEC] [OUT]
"""

import re
import sys
import tempfile
from pathlib import Path

from benchmarks.translators import HELD_OUT, NAIP, TILE, measured
from fusionrs_builder import config
from fusionrs_builder.translate.evaluate import chips
from fusionrs_builder.translate.scores.page import sheet
from fusionrs_builder.translate.scores.records import entries, sample
from fusionrs_builder.translate.translator import load_translator
from fusionrs_builder.workspace import Workspace

SHOWN = {NAIP: 8, "landsat8-zion": 4, "landsat8-tirs": 2, "landsat7-thermal": 2, "s2-ships": 4, "s2-reservoir": 4}
"""Chips of each corpus, drawn at random; of NAIP, of the dates that nothing was fitted on."""


def main(spec: str = "nir-small", out: str = "docs/translations.jpg") -> None:
    """Draw the picture."""
    samples = config.samples_folder()
    if samples is None:
        sys.exit("the sample corpora are not at hand: name their folder by FUSIONRS_SAMPLES")
    translator = load_translator(spec)
    shown = []
    with tempfile.TemporaryDirectory() as place:
        workspace = measured(samples, Workspace.open(Path(place) / "ws", create=True), tuple(SHOWN))
        found = entries(workspace, lambda entry: entry.corpus != NAIP or re.search(HELD_OUT, entry.key) is not None)
        for corpus, n in SHOWN.items():
            some = sample([entry for entry in found if entry.corpus == corpus], n, seed=0)
            shown += chips(translator, workspace, some, "nir", TILE)
    sheet(shown).save(out, quality=88)
    print(Path(out).resolve())


if __name__ == "__main__":
    main(*sys.argv[1:])
