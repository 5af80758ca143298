"""pix2pix (Isola et al., CVPR 2017): pairs, and a discriminator that sees the drawn view beside its RGB image.

With `adversarial` 0 it is plain regression of the measured view.
"""

import numpy as np
import torch
import torch.nn.functional as F

from fusionrs_builder.translate.discriminator import PatchDiscriminator
from fusionrs_builder.translate.losses import paired_loss
from fusionrs_builder.translate.networks import verdicts
from fusionrs_builder.translate.objectives.objective import Batch, Losses, Objective, Shape, Weights


class Pix2Pix(Objective):
    """Paired and conditional adversarial losses. Wants `Batch.pair` and looks at nothing else."""

    def __init__(self, shape: Shape, weights: Weights) -> None:
        super().__init__(shape, weights)
        self.judge = PatchDiscriminator(4, shape.ndf) if weights.adversarial else None

    def generator_losses(self, batch: Batch, rng: np.random.Generator) -> Losses:
        assert batch.pair is not None
        rgb, measured = batch.pair
        drawn = self.generator(rgb)
        loss = paired_loss(drawn, measured, self.weights.structure, self.weights.correlation)
        losses = {"paired": self.weights.paired * loss}
        if batch.familiar is not None:
            assert self.generator.gate is not None
            found = verdicts(self.generator.gate(rgb))
            losses["gate"] = F.binary_cross_entropy_with_logits(found, batch.familiar[:, None].expand_as(found))
        self._last = rgb, measured, drawn.detach().float()
        if self.judge is not None:
            losses["infrared"] = self._fools(self.judge, torch.cat([rgb, drawn.float()], 1), rng)
        return losses

    def discriminator_losses(self, rng: np.random.Generator) -> Losses:
        if self.judge is None:
            return {}
        rgb, measured, drawn = self._last
        real, made = torch.cat([rgb, measured], 1), torch.cat([rgb, drawn], 1)
        return {"judge": self._mistakes(self.judge, real, made, rng)}
