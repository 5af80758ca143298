"""The settings of a training of a CLIP."""

from dataclasses import dataclass
from typing import Literal

from fusionrs_builder.benchmark.records import Inputs
from fusionrs_builder.errors import UsageError
from train.samples import Captions

MAY_DIFFER = ("data", "out", "workers", "chunk", "validate_every", "save_every")
"""Settings that a run may be gone on with under other values; none of them changes what is learnt."""


@dataclass(frozen=True)
class Settings:
    """Of a training.

    Attributes:
        data: release folder, or ORG/NAME on the Hugging Face Hub
        out: folder of the run
        arch: architecture of open_clip, a JSON file of one, hf-hub:ORG/NAME or local-dir:FOLDER with their weights
        pretrained: tag or file of weights to start from; none: from scratch, or those of an hf-hub: or local-dir:
        image_size: pixels of a side; 0: as the architecture has it
        towers: encoder of infrared views: shared with visible images, with low-rank additions, or its own
        lora_rank: of the low-rank additions
        loss: infonce or siglip
        rgb_text: weight of the term of visible images and scene captions
        ir_text: weight of the term of infrared views and their captions
        rgb_ir: weight of the term of visible images and infrared views
        fused_text: weight of the term of both views together and scene captions
        infrared: what is shown as the infrared view
        captions: text of the infrared view
        pairs: only records with both views
        batch_size: rows a step, over all devices
        chunk: rows that are embedded with a graph at once, on one device; 0: all; fewer take less memory
        steps: of the optimiser
        learning_rate: the highest
        weight_decay: of matrices; norms, biases and the scale have none
        warmup: steps until the learning rate is the highest; it then falls along a cosine
        ema: share of the mean of the weights that stays at a step, less in the first ones; 0: the last weights are kept
        start_share: of the weights that training started from in those that are kept
        augment: random crops and turns
        streaming: read the release as it comes, mixed among 2,048 rows at a time, without a copy of it on the disk
        workers: processes that read
        validate_every: steps between two measurements on the validation split; 0: none
        save_every: steps between two states from which the run can be gone on with
        device: auto, cpu, cuda
        precision: of the networks: bf16, fp32, or auto: bf16 where it is fast; losses are fp32
        seed: of all chance
    """

    data: str = ""
    out: str = ""
    arch: str = "ViT-B-32"
    pretrained: str = ""
    image_size: int = 0
    towers: Literal["shared", "lora", "separate"] = "shared"
    lora_rank: int = 16
    loss: Literal["infonce", "siglip"] = "infonce"
    rgb_text: float = 1.0
    ir_text: float = 1.0
    rgb_ir: float = 1.0
    fused_text: float = 0.0
    infrared: Inputs = "infrared"
    captions: Captions = "ir"
    pairs: bool = False
    batch_size: int = 128
    chunk: int = 0
    steps: int = 2000
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    warmup: int = 100
    ema: float = 0.0
    start_share: float = 0.0
    augment: bool = True
    streaming: bool = False
    workers: int = 2
    validate_every: int = 0
    save_every: int = 200
    device: str = "auto"
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"batch_size": 2, "chunk": 0, "steps": 1, "lora_rank": 1, "image_size": 0, "workers": 0, "warmup": 0,
                 "validate_every": 0, "save_every": 1, "learning_rate": 0, "weight_decay": 0}  # fmt: skip
        for name, value in least.items():
            if not getattr(self, name) >= value:  # not: neither is a number that is none
                raise UsageError(f"{name} = {getattr(self, name)}: give {value} or more")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"seed = {self.seed}: give 0 or more, and less than 2 ** 32")
        if self.start_share and self.towers == "lora":
            raise UsageError("start_share mixes weights, and would mix the factors of lora: take shared or separate")
        for name in ("ema", "start_share"):
            if not 0 <= getattr(self, name) < 1:
                raise UsageError(f"{name} = {getattr(self, name)}: give 0 or more, and less than 1")
