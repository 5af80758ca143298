"""Near infrared of places that were never seen: the recipe of nir-small trained with each source left out in turn.

    python -m benchmarks.unseen [--steps 1500] [--ngf 24] [--blocks 4] [--local 24] [--exposure 0.5] [--clouds 0.5]
        [--radiometric 0.1] [--seed 0] [--device cpu]

Every source that is left out is scored beside the grey controls and beside regressions fitted on the other sources; the
last two NAIP dates are never learnt from. With `--local 0 --exposure 0 --clouds 0` it is the plain generator.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.shipped import NIR, pairs
from benchmarks.translators import HELD_OUT, SOURCES, TILE, TILES
from fusionrs_builder import config
from fusionrs_builder.translate.networks import GATES
from fusionrs_builder.translate.trained import train_translator
from fusionrs_builder.workspace import Workspace


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Train, score, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("steps", 1500), ("ngf", 24), ("blocks", 4), ("local", 24), ("seed", 0), ("threads", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    for name, strength in (("exposure", 0.5), ("clouds", 0.5), ("radiometric", NIR.radiometric)):
        parser.add_argument(f"--{name}", type=float, default=strength)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--sources", nargs="*", default=[s for s in SOURCES if s != "eurosat-ms-small"])
    chosen = vars(parser.parse_args(arguments))
    sources, threads, device = chosen.pop("sources"), chosen.pop("threads"), chosen.pop("device")
    if threads:
        torch.set_num_threads(threads)
    recipe = replace(
        NIR,
        context=NIR.context if chosen["local"] else None,
        local_steps=NIR.local_steps if chosen["local"] else None,
        generator=replace(
            NIR.generator,
            ngf=chosen["ngf"],
            n_blocks=chosen["blocks"],
            local=chosen["local"],
            local_share=NIR.generator.local_share if chosen["local"] else 1.0,
        ),
        **{name: chosen[name] for name in ("steps", "exposure", "clouds", "radiometric", "seed")},
        device=device,
    )
    samples = config.samples_folder()
    assert samples is not None, "set FUSIONRS_SAMPLES"
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        workspace = pairs(samples, Workspace.open(Path(temporary) / "ws", create=True))
        for source in sources:
            result = train_translator(
                Path(temporary) / f"without-{source}",
                [workspace.root],
                [workspace.root],
                hold_out=f"^{source}/|{HELD_OUT}",
                tile=None if source in ("s2-ships",) else min(TILE, TILES.get(source) or TILE),
                settings=recipe,
            )
            scores = result["corpora"][source] if "corpora" in result else result
            found[source] = {"n": scores["n"], "scores": scores["scores"], "differences": scores["differences"]}
            row = {name: round(of["correlation"]["mean"], 3) for name, of in scores["scores"].items()}
            print(source, row, flush=True)
    more = {"local_steps": recipe.local_steps, "local_share": recipe.generator.local_share, "gates": GATES}
    result = {"recipe": chosen | more, "left_out": found, "machine": machine.facts(device)}
    print(machine.save("unseen", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
