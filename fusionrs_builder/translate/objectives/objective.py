"""What all objectives share: the generator that is trained, and the losses of a step, each under its name."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fusionrs_builder.translate.augment import as_filed, diff_augment
from fusionrs_builder.translate.discriminator import ViewDiscriminator
from fusionrs_builder.translate.feature_judge import FeatureJudge, view_features
from fusionrs_builder.translate.image_pool import ImagePool
from fusionrs_builder.translate.losses import edge_loss, gradient_penalty, least_squares, logistic, paired_loss
from fusionrs_builder.translate.networks import GeneratorConfig, ResnetGenerator
from fusionrs_builder.translate.view_statistics import StatisticsLoss

OUTLINES_APART = 0.17
"""Disagreement of outlines that is free: no sensor sees all of the edges that another band has, and no others."""

PENALTY, PENALTY_EVERY = 0.05, 4
"""Of the gradient of the judge of views, and about how many steps lie between two: they are twice the work. At 1 the
judge is fooled by views that a random forest still tells from real ones."""

Losses = dict[str, Tensor]
"""Scalars in fp32 by name, already weighted: their sum is what is minimised."""


class Batch(NamedTuple):
    """What a step learns from, all float in -1..1, on the device of the networks.

    Attributes:
        visible: [N, 3, S, S].
        infrared: [N, 1, S, S], of other places unless the data are paired throughout.
        pair: [N, 3, S, S] and [N, 1, S, S] of the same places; None without paired data.
        familiar: [N], 1 where a pair is like those the ResNet draws, in fair weather, else 0; with a local expert only.
    """

    visible: Tensor
    infrared: Tensor
    pair: tuple[Tensor, Tensor] | None = None
    familiar: Tensor | None = None


@dataclass(frozen=True)
class Weights:
    """Of the losses; 0 leaves one out, and what only it needs.

    Attributes:
        adversarial: least-squares GAN loss of patches.
        views: logistic GAN loss of whole views, by what there is how much of (CycleGAN, CUT).
        features: the same by a few dozen numbers of each view, which the two-sample test of the scores sees, too
            (CycleGAN, CUT); a generator with a norm has no use for it.
        cycle: L1 of an image and what comes back of it (CycleGAN).
        identity: L1 of an infrared image and what the generator makes of it (CycleGAN).
        nce: PatchNCE of the drawn view and its RGB image, and of an infrared image and itself (CUT).
        edge: disagreement of the outlines of the drawn view and its RGB image, blind to polarity, as far as it is more
            than `OUTLINES_APART` (CycleGAN, CUT).
        statistics: distance of tones, outlines and grain of whole views from those of real ones (CycleGAN, CUT).
        paired: L1, structure and correlation with what the sensor measured, where there are pairs.
        structure: 1 - SSIM, beside the L1 of `paired`.
        correlation: 1 - `tone_structure`, which all but for dark images is the correlation, beside the L1 of `paired`.
    """

    adversarial: float = 1.0
    views: float = 0.0
    features: float = 0.0
    cycle: float = 10.0
    identity: float = 5.0
    nce: float = 1.0
    edge: float = 1.0
    statistics: float = 0.0
    paired: float = 100.0
    structure: float = 0.1
    correlation: float = 0.2


@dataclass(frozen=True)
class Shape:
    """Of the networks and of what they see.

    Attributes:
        generator: that is trained, 3 -> 1 channel.
        ndf: width of the discriminators.
        pool: drawn images kept for the discriminator.
        crop: side of the images, pixels.
        diff_augment: whether discriminators see everything through DiffAugment.
    """

    generator: GeneratorConfig
    ndf: int
    pool: int
    crop: int
    diff_augment: bool


class Objective(nn.Module, ABC):
    """The networks of a training and its losses. `state_dict` holds all there is to resume: weights and pools.

    `generator_losses` is called first, `discriminator_losses` then, of the same batch.

    Args:
        shape: of the networks.
        weights: of the losses.

    Attributes:
        generator: the translator itself.
    """

    def __init__(self, shape: Shape, weights: Weights) -> None:
        super().__init__()
        self.shape, self.weights = shape, weights
        self.generator = ResnetGenerator(shape.generator)
        self.statistics = StatisticsLoss() if weights.statistics else None
        self.judge_views = ViewDiscriminator(max(1, shape.ndf // 2)) if weights.views else None
        self.judge_features = FeatureJudge() if weights.features else None

    @abstractmethod
    def generator_losses(self, batch: Batch, rng: np.random.Generator) -> Losses:
        """Draw, and say what is wrong with it. Discriminators judge, but learn nothing from it."""

    @abstractmethod
    def discriminator_losses(self, rng: np.random.Generator) -> Losses:
        """What the discriminators mistook in the images of the last `generator_losses`; empty if there are none."""

    def discriminators(self) -> list[nn.Module]:
        """The networks that judge."""
        return [network for name, network in self.named_children() if name.startswith("judge")]

    def judging(self) -> Iterator[nn.Parameter]:
        """Parameters of the discriminators."""
        return (parameter for network in self.discriminators() for parameter in network.parameters())

    def drawing(self) -> Iterator[nn.Parameter]:
        """All other parameters."""
        judges = {id(parameter) for parameter in self.judging()}
        return (parameter for parameter in self.parameters() if id(parameter) not in judges)

    def _seen(self, images: Tensor, rng: np.random.Generator) -> Tensor:
        """Images as a discriminator sees them."""
        return diff_augment(images.float(), rng) if self.shape.diff_augment else images

    def _pool(self, channels: int) -> ImagePool:
        return ImagePool(self.shape.pool, (channels, self.shape.crop, self.shape.crop))

    def _fools(self, judge: nn.Module, drawn: Tensor, rng: np.random.Generator) -> Tensor:
        """How far a drawn image is from passing for a real one."""
        return self.weights.adversarial * least_squares(judge(self._seen(drawn, rng)), real=True)

    def _mistakes(self, judge: nn.Module, real: Tensor, drawn: Tensor, rng: np.random.Generator) -> Tensor:
        """How far a discriminator is from telling real from drawn."""
        told = least_squares(judge(self._seen(real, rng)), real=True)
        return 0.5 * (told + least_squares(judge(self._seen(drawn, rng)), real=False))

    def _mistaken_views(self, real: Tensor, drawn: Tensor, rng: np.random.Generator) -> Losses:
        """How far the judges of whole views are from telling real from drawn."""
        losses: Losses = {}
        with torch.autocast(drawn.device.type, enabled=False):
            seen, false = as_filed(real.float()), as_filed(drawn.detach().float())
            if self.judge_views is not None:
                told = logistic(self.judge_views(seen), real=True) + logistic(self.judge_views(false), real=False)
                if rng.integers(PENALTY_EVERY) == 0:
                    told = told + PENALTY * gradient_penalty(self.judge_views, seen)
                losses["judge views"] = told
            if self.judge_features is not None:
                losses["judge features"] = self.judge_features.mistakes(view_features(seen), view_features(false), rng)
        return losses

    def _shaped(self, drawn: Tensor, batch: Batch) -> Losses:
        """Outlines as in the RGB image, tones and grain as in the real infrared ones."""
        losses = {}
        if self.weights.edge:
            losses["edge"] = self.weights.edge * F.relu(edge_loss(drawn, batch.visible) - OUTLINES_APART)
        with torch.autocast(drawn.device.type, enabled=False):
            if self.judge_views is not None:
                scores = self.judge_views(as_filed(drawn.float()))
                losses["views"] = self.weights.views * logistic(scores, real=True)
            if self.judge_features is not None:
                scores = self.judge_features(view_features(as_filed(drawn.float())))
                losses["features"] = self.weights.features * logistic(scores, real=True)
        if self.statistics is not None:
            losses["statistics"] = self.weights.statistics * self.statistics(drawn, batch.infrared)
        return losses

    def _paired(self, batch: Batch) -> Losses:
        """The loss of the pairs among data that are paired in part."""
        if batch.pair is None or not self.weights.paired:
            return {}
        rgb, measured = batch.pair
        loss = paired_loss(self.generator(rgb), measured, self.weights.structure, self.weights.correlation)
        return {"paired": self.weights.paired * loss}
