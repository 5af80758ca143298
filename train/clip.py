"""Train a CLIP on visible images, infrared views and text of a release.

    python -m train.clip --data demo/release/fusionrs --arch train/configs/tiny-64.json --out runs/tiny
    torchrun --nproc-per-node 8 -m train.clip --data my-org/fusionrs --arch ViT-B-32 --pretrained openai --out runs/b32

The run is gone on with when it is started again. It ends with `model/`, which open_clip loads as `local-dir:`, which
`fusionrs-build benchmark --model train:RUN` measures, and a card.
"""

import sys
from collections.abc import Sequence

import torch

from fusionrs_builder import devices
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import distributed
from train import settings as toml
from train import standing
from train.recipe import MAY_DIFFER, Settings
from train.training import SPLIT, Training


def train(settings: Settings) -> None:
    """Train from scratch or go on, to the end.

    Raises:
        UsageError: a setting is wrong, or the run in `out` has others.
        FusionError: as `Training.run`.
    """
    if not settings.data or not settings.out:
        raise UsageError("name the release by --data and the folder of the run by --out")
    rank, world, device = distributed.start(devices.chosen(settings.device))
    _train(settings, rank, world, device)
    distributed.stop(world)


def _train(settings: Settings, rank: int, world: int, device: torch.device) -> None:
    try:
        training = Training(settings, rank, world, device)
        sources = sources_of(settings, training.loader.sha256)
        standing.check(settings, sources, MAY_DIFFER)
        if rank == 0:  # only now: settings that are wrong leave no run behind
            standing.begin(settings, sources)
        training.resume()
        try:
            training.run()
        finally:
            training.close()
        training.finish()
    except torch.OutOfMemoryError as error:
        raise FusionError(f"{settings.out}: out of memory: give a smaller --chunk, or a smaller --arch") from error


def sources_of(settings: Settings, rows: str) -> standing.Sources:
    """What a training learns from: the rows, by their sha256, and the files that its networks are made of."""
    return {
        f"the {SPLIT} split": rows,
        **standing.of_file(settings.arch),
        **standing.of_file(settings.pretrained),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        train(toml.parse(Settings, "python -m train.clip", "Train a CLIP on RGB, infrared and text.", argv))
    except FusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
