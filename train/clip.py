"""Train a CLIP on visible images, infrared views and text of a release.

    python -m train.clip --data demo/release/fusionrs --arch train/configs/tiny-64.json --out runs/tiny
    torchrun --nproc-per-node 8 -m train.clip --data my-org/fusionrs --arch ViT-B-32 --pretrained openai --out runs/b32

The run is gone on with when it is started again. It ends with `model/`, which open_clip loads as `local-dir:`, which
`fusionrs-build benchmark --model train:RUN` measures, and a card.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from fusionrs_builder import devices
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import distributed
from train import settings as toml
from train.recipe import MAY_DIFFER, Settings
from train.training import Training

SETTINGS = "settings.toml"


def train(settings: Settings) -> None:
    """Train from scratch or go on, to the end.

    Raises:
        UsageError: a setting is wrong, or the run in `out` has others.
        FusionError: as `Training.run`.
    """
    if not settings.data or not settings.out:
        raise UsageError("name the release by --data and the folder of the run by --out")
    out = Path(settings.out)
    if (out / SETTINGS).is_file():
        before = toml.read(Settings, out / SETTINGS)
        if changed := toml.differences(settings, before, MAY_DIFFER):
            raise UsageError(f"{out} holds a run of other settings ({'; '.join(changed)}): name another --out")
    rank, world, device = distributed.start(devices.chosen(settings.device))
    training = Training(settings, rank, world, device)
    if rank == 0:  # only now: settings that are wrong leave no run behind
        out.mkdir(parents=True, exist_ok=True)
        (out / SETTINGS).write_text(toml.as_toml(settings), encoding="utf-8")
    training.resume()
    try:
        training.run()
    finally:
        training.close()
    training.finish()
    distributed.stop(world)


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
