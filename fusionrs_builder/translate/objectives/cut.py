"""CUT (Park et al., ECCV 2020): one way only; a drawn patch must resemble its own place more than any other."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionrs_builder.translate.discriminator import PatchDiscriminator
from fusionrs_builder.translate.losses import patch_nce
from fusionrs_builder.translate.networks import ResnetGenerator
from fusionrs_builder.translate.objectives.objective import Batch, Losses, Objective, Shape, Weights

PATCHES, FEATURES = 256, 256
"""Places looked at in an image, and features of each."""


class Cut(Objective):
    """Adversarial and PatchNCE losses (of the infrared images too, as identity), outlines, and pairs."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        super().__init__(shape, weights)
        self.judge = PatchDiscriminator(1, shape.ndf) if weights.adversarial else None
        self.pool = self._pool(1)
        self.layers = nce_layers(self.generator)
        ngf = shape.generator.ngf
        channels = (shape.generator.in_channels, 2 * ngf, 4 * ngf, 4 * ngf, 4 * ngf)
        # An MLP of two layers for each layer looked at.
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(each, FEATURES), nn.ReLU(), nn.Linear(FEATURES, FEATURES)) for each in channels
        )

    def generator_losses(self, batch: Batch, rng: np.random.Generator) -> Losses:
        drawn = self.generator(batch.visible)
        self._last = batch, drawn.detach()
        losses: Losses = {}
        if self.judge is not None:
            losses["infrared"] = self._fools(self.judge, drawn, rng)
        if self.weights.nce:
            same = batch.infrared.expand(-1, 3, -1, -1)
            losses["nce"] = 0.5 * self.weights.nce * self._nce(batch.visible, drawn, rng)
            losses["nce identity"] = 0.5 * self.weights.nce * self._nce(same, self.generator(same), rng)
        return {**losses, **self._shaped(drawn, batch), **self._paired(batch)}

    def discriminator_losses(self, rng: np.random.Generator) -> Losses:
        batch, drawn = self._last
        losses = self._mistaken_views(batch.infrared, drawn, rng)
        if self.judge is not None:
            drawn = self.pool.exchange(drawn, rng)
            losses["judge infrared"] = self._mistakes(self.judge, batch.infrared, drawn, rng)
        return losses

    def _nce(self, source: Tensor, drawn: Tensor, rng: np.random.Generator) -> Tensor:
        """PatchNCE over the layers, the same places of both."""
        keys = features(self.generator, source, self.layers)
        queries = features(self.generator, drawn.expand(-1, 3, -1, -1), self.layers)
        losses = []
        for head, query, key in zip(self.heads, queries, keys, strict=True):
            places = query.shape[2] * query.shape[3]
            chosen = torch.from_numpy(rng.permutation(places)[:PATCHES]).to(query.device)
            picked = (f.flatten(2)[..., chosen].transpose(1, 2) for f in (query, key))
            q, k = (F.normalize(head(patches), dim=-1) for patches in picked)
            losses.append(patch_nce(q, k))
        return torch.stack(losses).mean()


def nce_layers(generator: ResnetGenerator) -> tuple[int, ...]:
    """Layers whose output is looked at: the padded pixels, both strided convolutions, the first and a middle block.

    The reference implementation's choice (0, 4, 8, 12, 16 of a generator with 9 blocks), its last kept within the
    blocks there are.
    """
    blocks = generator.config.n_blocks
    return (0, 4, 7, 10, 10 + min(4, blocks - 1))


def features(generator: ResnetGenerator, images: Tensor, layers: tuple[int, ...]) -> list[Tensor]:
    """Outputs of some layers of the generator, no further than the last of them; one that occurs twice, twice."""
    found: dict[int, Tensor] = {}
    x = images
    for number, layer in enumerate(generator.model):
        x = layer(x)
        if number in layers:
            found[number] = x.clone()  # the next layer may work in place
        if number == max(layers):
            break
    return [found[number] for number in layers]
