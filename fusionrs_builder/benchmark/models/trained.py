"""`train:RUN`: what `python -m train.clip` made, with a second image encoder where the run has one."""

from pathlib import Path

from fusionrs_builder.benchmark.models import open_clip
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Encoders
from fusionrs_builder.errors import UsageError

MODEL, INFRARED = "model", "infrared"
"""The folder in a run that open_clip loads as `local-dir:`, and in that the one whose images are infrared views."""


def model(rest: str) -> EmbeddingModel:
    """The model of a run.

    Args:
        rest: of the spec: the folder of the run.

    Raises:
        UsageError: it holds no model.
    """
    run = Path(rest).expanduser()
    folder = run / MODEL
    if not (folder / open_clip.CONFIG).is_file():
        raise UsageError(f"train:{rest}: no {MODEL}/{open_clip.CONFIG} in it: name the --out of a training that ended")
    visible = open_clip.model(f"local-dir:{folder}")
    other = open_clip.model(f"local-dir:{folder / INFRARED}") if (folder / INFRARED).is_dir() else None

    def open_on(device: str) -> Encoders:
        encoders = visible.open(device)
        return encoders if other is None else encoders._replace(infrared=other.open(device).images)

    return EmbeddingModel(
        spec=f"train:{rest}",
        name=run.resolve().name,
        pretrained=visible.pretrained,
        identity=visible.identity if other is None else f"{visible.identity} infrared {other.identity}",
        open=open_on,
        two_towers=other is not None,
    )
