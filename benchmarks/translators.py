"""What translators score on the sample corpora: the figures of the README, in one JSON.

    python -m benchmarks.translators [--nir nir-small] [--lwir lwir-small] [--device auto] [--pages FOLDER]

Near infrared: two NAIP dates that nothing was fitted on, in tiles of 128 px; then each other source, the regressions
fitted on all sources but that one. Long-wave infrared: drone tiles and aerial images as drawn, against frames of a
thermal camera that saw other places. An empty name (`--lwir ""`) leaves a band out, of the file too.
"""

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from fusionrs_builder import config, pipeline
from fusionrs_builder.corpora import registry
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.translate.evaluate import as_markdown, evaluate_translator
from fusionrs_builder.workspace import Workspace

NAIP = "naip-opengeos"

HELD_OUT = "naip.*_(2019|2020)"
"""The last two of nine dates."""

SOURCES = ("landsat8-zion", "landsat8-tirs", "landsat7-thermal", "s2-ships", "s2-reservoir", "eurosat-ms-small")

TILE = 128

TILES = {"landsat7-thermal": 125, "s2-ships": None, "eurosat-ms-small": None}
"""Where other than `TILE`: a scene of 250 px gives four tiles, chips stay whole."""

THERMAL, VISIBLE = "hit-uav", ("oam-buildings", NAIP)


def measured(samples: Path, workspace: Workspace, names: tuple[str, ...]) -> Workspace:
    """Pairs of RGB and near infrared, coded without loss."""
    for name in names:
        tile = TILES.get(name, TILE)
        pipeline.download(
            workspace, name, from_=folder(samples, name), prefer="nir", image_format="png", tile=tile, run=Run(1)
        )
    return workspace


def thermal(samples: Path, workspace: Workspace) -> Workspace:
    """Visible tiles, and frames of the thermal camera; curated, so that frames of one flight are one group."""
    for name in (*VISIBLE, THERMAL):
        pipeline.download(workspace, name, from_=folder(samples, name), run=Run(1))
    pipeline.translate(workspace, translator="gray", run=Run(1))
    pipeline.caption(workspace, run=Run(1))
    pipeline.curate(workspace, run=Run(1))
    return workspace


def folder(samples: Path, name: str) -> str:
    entry = registry.entry(name)
    assert entry is not None
    assert entry.samples is not None
    return str(samples / entry.samples.folder)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nir", metavar="SPEC", default="nir-small", help="translator of near infrared")
    parser.add_argument("--lwir", metavar="SPEC", default="lwir-small", help="translator of long-wave infrared")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--pages", type=Path, help="folder for the reports with pictures")
    chosen = parser.parse_args(arguments)
    samples = config.samples_folder()
    if samples is None:
        sys.exit("the sample corpora are not at hand: name their folder by FUSIONRS_SAMPLES")
    result: dict[str, Any] = {"nir": {}, "lwir": {}}

    def score(kind: str, part: str, workspace: Workspace, spec: str, keys: str, **more: Any) -> None:
        out = chosen.pages and chosen.pages / kind / part
        print(f"{spec}: {kind}, {part}", file=sys.stderr)
        found = evaluate_translator(workspace, spec, band=kind, keys=keys, device=chosen.device, out=out, **more)
        result[kind][part] = found
        print(f"# {spec}: {kind}, {part}\n\n{as_markdown(found)}\n")

    with tempfile.TemporaryDirectory() as place:
        new = [Workspace.open(Path(place) / name, create=True) for name in ("dates", "sources", "thermal")]
        if chosen.nir:
            score("nir", "held-out dates", measured(samples, new[0], (NAIP,)), chosen.nir, HELD_OUT)
            sources = measured(samples, new[1], (NAIP, *SOURCES))
            for name in SOURCES:
                score("nir", name, sources, chosen.nir, f"^{name}/")
        if chosen.lwir:
            score("lwir", THERMAL, thermal(samples, new[2]), chosen.lwir, f"^({'|'.join(VISIBLE)})/")
    on_gpu = chosen.device.startswith("cuda") or (chosen.device == "auto" and torch.cuda.is_available())
    result["machine"] = machine.facts("cuda" if on_gpu else "cpu")
    print(machine.save("translators", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
