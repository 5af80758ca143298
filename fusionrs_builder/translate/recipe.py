"""The recipe of a training of a translator, and what does not go together in one."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from fusionrs_builder.errors import UsageError
from fusionrs_builder.translate import view_statistics
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.objectives import Weights


@dataclass(frozen=True)
class TrainSettings:
    """The recipe.

    Attributes:
        objective: `cyclegan` or `cut` for images without pairs, which learn from pairs too where there are some;
            `pix2pix` for pairs alone.
        generator: what is trained.
        weights: of the losses.
        context: regular expression searched in `<corpus>/<corpus_key>`: the pairs the ResNet learns from where there is
            a local expert beside it, which learns from all. Name corpora of many scenes. None without a local expert.
        steps: after how many to stop.
        local_steps: after how many of them the local expert and the gates learn no more: from then on they would learn
            what is true of places they see over and over. None: as long as the ResNet.
        batch_size: images a step, in each process.
        crop: side of the crops, pixels; smaller images are mirrored to this size.
        learning_rate: of Adam; constant, then falling to nothing over the second half of the steps a part learns for.
        beta1: of Adam: 0.5 beside a discriminator, 0.9 without one.
        weight_decay: of AdamW.
        ndf: width of the discriminators.
        pool: drawn images kept for the discriminators.
        diff_augment: whether discriminators see everything through DiffAugment.
        radiometric: strength of the changes of light and colour of the RGB side; 0: none.
        exposure: share of the pairs shown with less light, both views alike; for reflected bands (NIR, SWIR) only. Not
            of those the ResNet learns from where there is a local expert beside it: that one is for foul weather.
        clouds: share of the pairs shown under clouds, likewise.
        ema: decay of the mean of the weights, a step.
        validate_every: steps between validations, after each of which the state is saved.
        patience: validations without a better score (a mean of `train.AVERAGED`) after which to stop; None: never
            before `steps`.
        seed: of weights, crops and augmentation.
        device: `cpu`, `cuda` or `auto`.
    """

    objective: Literal["cyclegan", "cut", "pix2pix"] = "cyclegan"
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    weights: Weights = field(default_factory=Weights)
    context: str | None = None
    steps: int = 20_000
    local_steps: int | None = None
    batch_size: int = 1
    crop: int = 256
    learning_rate: float = 2e-4
    beta1: float = 0.5
    weight_decay: float = 0.0
    ndf: int = 64
    pool: int = 50
    diff_augment: bool = True
    radiometric: float = 1.0
    exposure: float = 0.0
    clouds: float = 0.0
    ema: float = 0.999
    validate_every: int = 500
    patience: int | None = None
    seed: int = 0
    device: str = "auto"

    def key(self) -> dict[str, Any]:
        """What decides the weights: all but the device."""
        return {name: value for name, value in asdict(self).items() if name != "device"}

    def __post_init__(self) -> None:
        judged = self.weights.adversarial or (self.objective == "cut" and (self.weights.views or self.weights.features))
        if self.objective == "pix2pix" and (self.weights.views or self.weights.features):
            raise UsageError("pix2pix learns from pairs, and judges no whole views: leave the weight `views` out")
        if self.objective != "pix2pix" and not judged:
            raise UsageError(
                f"{self.objective} without its adversary learns nothing: give adversarial a weight, or views in cut"
            )
        if self.crop % 4 or self.crop < 32:
            raise UsageError(f"crop {self.crop}: a multiple of 4, at least 32")
        if self.generator.local and (self.objective != "pix2pix" or self.context is None or self.batch_size < 2):
            raise UsageError(
                "a local expert learns beside a ResNet, half of a batch each, and from pairs: it needs the objective "
                "pix2pix, a context (the pairs the ResNet learns from) and a batch size of 2 or more"
            )
        if self.context is not None and not self.generator.local:
            raise UsageError(
                f"context {self.context}: without a local expert the ResNet learns from all; give local too"
            )
        if self.local_steps is not None and (not self.generator.local or self.local_steps < 1):
            raise UsageError(f"local steps {self.local_steps}: 1 or more, and of a local expert; give local too")
        if self.objective != "pix2pix" and self.weights.statistics and self.crop < view_statistics.LEAST:
            raise UsageError(f"crop {self.crop}: at least {view_statistics.LEAST} where statistics have a weight")
        for name, low, high in (("exposure", 0, 1), ("clouds", 0, 1), ("beta1", 0, 0.999), ("ema", 0, 1)):
            if not low <= getattr(self, name) <= high:
                raise UsageError(f"{name} {getattr(self, name):g}: from {low} to {high}")
        for name in ("learning_rate", "radiometric", "weight_decay"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} {getattr(self, name):g}: a number of 0 or more")
