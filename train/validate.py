"""The score of a training on the validation split: the benchmark's own retrieval, and no other."""

from collections.abc import Sequence

import torch
from PIL import Image

from fusionrs_builder.benchmark.encoding import Encoded
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Embeddings, Encoders
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks.retrieval import retrieval
from fusionrs_builder.release.load import load_split
from train.towers import Towers


def validate(towers: Towers, data: str, device: str) -> dict[str, float]:
    """The headline of each retrieval protocol on infrared, by protocol and origin, 0..1."""
    import open_clip

    preprocess = open_clip.image_transform(towers.size, is_train=False, mean=towers.mean, std=towers.std)

    def embedded(encode: object) -> object:
        def images(pictures: Sequence[Image.Image]) -> Embeddings:
            with torch.inference_mode():
                found = encode(torch.stack([preprocess(one) for one in pictures]).to(device))  # type: ignore[operator]
            rows: Embeddings = found.float().cpu().numpy()
            return rows

        return images

    def texts(captions: Sequence[str]) -> Embeddings:
        with torch.inference_mode():
            tokens = towers.tokenize(list(captions), context_length=towers.context).to(device)
            found: Embeddings = towers.text(tokens).float().cpu().numpy()
        return found

    encoders = Encoders(embedded(towers.visible), texts, embedded(towers.thermal))  # type: ignore[arg-type]
    model = EmbeddingModel("training", "training", "", "training", lambda _: encoders, cached=False, two_towers=True)
    records = Records(load_split(data, "validation"), data, "validation")
    found = retrieval(records, Encoded(model, records, None, device), ("infrared",), device)
    return {f"{one.protocol} {one.origin}": one.estimates[one.headline].value for one in found}
