"""What a translator is trained for: an objective a file, all with the same generator and discriminator."""

from fusionrs_builder.translate.objectives.cut import Cut
from fusionrs_builder.translate.objectives.cyclegan import CycleGAN
from fusionrs_builder.translate.objectives.objective import Batch, Objective, Weights
from fusionrs_builder.translate.objectives.pix2pix import Pix2Pix

OBJECTIVES: dict[str, type[Objective]] = {"cyclegan": CycleGAN, "cut": Cut, "pix2pix": Pix2Pix}

__all__ = ["OBJECTIVES", "Batch", "Cut", "CycleGAN", "Objective", "Pix2Pix", "Weights"]
