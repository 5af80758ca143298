"""The score of a training on the validation split: the benchmark's own retrieval, and no other."""

from collections.abc import Callable, Sequence

import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from fusionrs_builder.benchmark.encoding import Encoded
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks.retrieval import retrieval
from fusionrs_builder.release.load import load_split
from train.towers import Towers


def validate(towers: Towers, data: str, device: str) -> dict[str, float]:
    """The headline of each retrieval protocol on infrared, by protocol and origin, 0..1."""
    shape = PreprocessCfg(**open_clip.get_model_preprocess_cfg(towers.clip))
    preprocess = image_transform_v2(shape, is_train=False)

    def rows(encode: Callable[[Tensor], Tensor], inputs: Tensor) -> Embeddings:
        with torch.inference_mode():
            found: Embeddings = encode(inputs.to(device)).float().cpu().numpy()
        return found

    def seen(pictures: Sequence[Image.Image]) -> Tensor:
        return torch.stack([preprocess(picture) for picture in pictures])

    encoders = Encoders(
        images=lambda pictures: rows(towers.visible, seen(pictures)),
        texts=lambda captions: rows(towers.text, towers.tokenize(list(captions), context_length=towers.context)),
        infrared=lambda pictures: rows(towers.thermal, seen(pictures)),
    )
    model = EmbeddingModel("training", "training", "", "training", lambda _: encoders, cached=False, two_towers=True)
    records = Records(load_split(data, "validation"), data, "validation")
    found = retrieval(records, Encoded(model, records, None, device), ("infrared",), device)
    return {f"{one.protocol} {one.origin}": one.estimates[one.headline].value for one in found if one.origin != "-"}
