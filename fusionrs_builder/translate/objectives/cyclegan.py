"""CycleGAN (Zhu et al., ICCV 2017): both ways, so that what was drawn must still tell what it was drawn from."""

from dataclasses import replace

import numpy as np
from torch import Tensor

from fusionrs_builder.translate.augment import rounded
from fusionrs_builder.translate.discriminator import PatchDiscriminator
from fusionrs_builder.translate.networks import ResnetGenerator
from fusionrs_builder.translate.objectives.objective import Batch, Losses, Objective, Shape, Weights


class CycleGAN(Objective):
    """Adversarial both ways, cycle and identity losses, outlines, and pairs where there are some.

    The identity loss is of the infrared side alone: the way back makes three channels of one, and no RGB image fits
    into its input.
    """

    def __init__(self, shape: Shape, weights: Weights) -> None:
        super().__init__(shape, weights)
        self.back = ResnetGenerator(replace(shape.generator, in_channels=1, out_channels=3, tone=0))
        self.judge_infrared = PatchDiscriminator(1, shape.ndf)
        self.judge_visible = PatchDiscriminator(3, shape.ndf)
        self.infrared_pool, self.visible_pool = self._pool(1), self._pool(3)

    def generator_losses(self, batch: Batch, rng: np.random.Generator) -> Losses:
        drawn = self.generator(batch.visible)
        coloured = self.back(batch.infrared)
        self._last = batch, drawn.detach(), coloured.detach()
        losses = {
            "infrared": self._fools(self.judge_infrared, drawn, rng),
            "visible": self._fools(self.judge_visible, coloured, rng),
        }
        if self.weights.cycle:
            again = self.back(rounded(drawn.float(), rng))
            back_again = self.generator(rounded(coloured.float(), rng))
            losses["cycle"] = self.weights.cycle * (l1(again, batch.visible) + l1(back_again, batch.infrared))
        if self.weights.identity:
            same = self.generator(batch.infrared.expand(-1, 3, -1, -1))
            losses["identity"] = self.weights.identity * l1(same, batch.infrared)
        return {**losses, **self._shaped(drawn, batch), **self._paired(batch)}

    def discriminator_losses(self, rng: np.random.Generator) -> Losses:
        batch, drawn, coloured = self._last
        views = self._mistaken_views(batch.infrared, drawn, rng)
        drawn, coloured = self.infrared_pool.exchange(drawn, rng), self.visible_pool.exchange(coloured, rng)
        return {
            "judge infrared": self._mistakes(self.judge_infrared, batch.infrared, drawn, rng),
            "judge visible": self._mistakes(self.judge_visible, batch.visible, coloured, rng),
            **views,
        }


def l1(a: Tensor, b: Tensor) -> Tensor:
    """Mean absolute difference, in fp32."""
    return (a.float() - b.float()).abs().mean()
