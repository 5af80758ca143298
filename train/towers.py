"""A CLIP of open_clip with an encoder of infrared views: the same one, with low-rank additions, or one of their own."""

import copy
import shutil
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import open_clip
import torch
import torch.nn.functional as F
from open_clip.push_to_hf_hub import save_config_for_hf
from safetensors.torch import save_file
from torch import Tensor, nn

from fusionrs_builder.benchmark.models.open_clip import CONFIG
from fusionrs_builder.benchmark.models.trained import INFRARED, MODEL
from fusionrs_builder.errors import UsageError

WEIGHTS = "open_clip_model.safetensors"

LORA_LAYERS = ["c_fc", "c_proj"]
"""Of a vision transformer: the two layers of each MLP. Attention of open_clip is one fused layer."""

SCALE, BIAS = 10.0, -10.0
"""Initial scale and bias of the sigmoid loss (Zhai et al., ICCV 2023)."""

MOST_SCALE = 100.0
"""The scale of the similarities is never more (Radford et al., 2021)."""

Kind = Literal["shared", "lora", "separate"]


class Towers(nn.Module):
    """Embeds visible images, infrared views and texts into one space.

    Attributes:
        clip: of open_clip; its image encoder sees visible images.
        config: of its architecture, as open_clip has it.
        kind: of the encoder of infrared views.
        start: weights that it began with; empty: drawn by chance.
        size: pixels of a side of what it sees.
        mean, std: of the R, G and B that it takes, in 0..1.
        context: tokens of a text, at most.
    """

    def __init__(self, arch: str, pretrained: str, image_size: int, kind: Kind, rank: int, sigmoid: bool) -> None:
        """Build, or load.

        Args:
            arch: of open_clip, or a JSON file as those that open_clip keeps of its architectures.
            pretrained: tag or file of weights; empty: drawn by the random state of torch.
            image_size: pixels of a side; 0: as the architecture has it.
            kind: see the class.
            rank: of the low-rank additions.
            sigmoid: whether the loss has a bias.

        Raises:
            UsageError: there is no such architecture, or no such weights, or they do not fit.
        """
        super().__init__()
        if arch.endswith(".json"):
            if not Path(arch).is_file():
                raise UsageError(f"--arch {arch}: no such file")
            open_clip.add_model_config(Path(arch))
            arch = Path(arch).stem
        try:
            config = open_clip.get_model_config(arch)
        except (OSError, ValueError) as error:  # of `hf-hub:` and `local-dir:`
            raise UsageError(f"--arch {arch}: {' '.join(str(error).split())[:300]}") from None
        if config is None:
            raise UsageError(f"--arch {arch}: open_clip has no such architecture; `open_clip.list_models()` lists them")
        started = {"init_logit_scale": torch.tensor(SCALE).log().item(), "init_logit_bias": BIAS} if sigmoid else {}
        # open_clip only warns of weights that were trained with another activation than the architecture's.
        tag = (open_clip.get_pretrained_cfg(arch, pretrained) if pretrained else None) or {}
        quick = bool(tag.get("quick_gelu") or config.get("quick_gelu"))
        try:
            self.clip = open_clip.create_model(
                arch, pretrained or None, force_image_size=image_size or None, require_pretrained=bool(pretrained),
                pretrained_text=False, force_quick_gelu=quick, **started,
            )  # fmt: skip
        except (RuntimeError, OSError, ValueError, KeyError, TypeError, AssertionError) as error:
            said = " ".join(str(error).split())[:300]
            raise UsageError(f"--arch {arch} --pretrained {pretrained}: cannot be loaded: {said}") from None
        self.kind, self.arch = kind, arch
        self.start = pretrained or (arch if ":" in arch else "")
        if sigmoid and self.start and "init_logit_bias" not in config:  # the weights know no bias: it would be 0
            with torch.no_grad():
                self.clip.logit_scale.fill_(started["init_logit_scale"])
                self.clip.logit_bias.fill_(BIAS)
        self.config = {**config, **started, "quick_gelu": quick}
        patch = config["vision_cfg"].get("patch_size")
        if image_size and patch and image_size < patch:
            raise UsageError(f"--image-size {image_size}: less than one patch of {patch} pixels")
        if image_size:
            self.config["vision_cfg"] = {**config["vision_cfg"], "image_size": image_size}
        seen = open_clip.get_model_preprocess_cfg(self.clip)
        self.size, self.mean, self.std = self.clip.visual.image_size, seen["mean"], seen["std"]
        self.infrared: nn.Module | None = None
        if kind == "separate":
            self.infrared = copy.deepcopy(self.clip.visual)
        elif kind == "lora":
            self.clip.visual = _with_lora(self.clip.visual, rank)
        self.tokenize = open_clip.get_tokenizer(arch)
        self.context = int(self.clip.context_length)

    def tokens_of(self, text: str) -> int:
        """How many a text has, uncut, its marks of begin and end among them."""
        if (own := getattr(self.tokenize, "tokenizer", None)) is not None:  # of transformers
            return len(own(text)["input_ids"])
        return len(self.tokenize.encode(text)) + 2

    @property
    def scale(self) -> Tensor:
        """Of the similarities."""
        return self.clip.logit_scale.exp()  # type: ignore[no-any-return]

    def clamp(self) -> None:
        """Keep the scale within `MOST_SCALE`."""
        with torch.no_grad():
            self.clip.logit_scale.clamp_(max=torch.tensor(MOST_SCALE).log().item())

    def freeze_unused(self, needed: Collection[str]) -> None:
        """Leave alone what embeds nothing that is needed, see `forward`: neither trained nor decayed."""
        unused: list[nn.Parameter] = []
        if "rgb" not in needed and self.infrared is not None:
            unused += self.clip.visual.parameters()
        if "infrared" not in needed:
            unused += self.infrared.parameters() if self.infrared is not None else ()
            unused += [each for name, each in self.clip.visual.named_parameters() if "lora_" in name]
        if not {"scene", "infrared_text"} & set(needed):
            own = {id(each) for each in self.clip.visual.parameters()}
            named = self.clip.named_parameters()
            unused += [each for name, each in named if id(each) not in own and not name.startswith("logit_")]
        for each in unused:
            each.requires_grad_(False)

    def forward(self, views: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Embeddings of length 1, [N, d], of what is given.

        Args:
            views: `rgb` and `infrared`, float [N, 3, S, S]; `scene` and `infrared_text`, tokens int64 [N, L].
        """
        encoders = {"rgb": self.visible, "infrared": self.thermal, "scene": self.text, "infrared_text": self.text}
        return {name: F.normalize(encoders[name](given), dim=-1) for name, given in views.items()}

    def visible(self, images: Tensor) -> Tensor:
        if self.kind != "lora":
            return self.clip.visual(images)  # type: ignore[no-any-return]
        with self.clip.visual.disable_adapter():
            return self.clip.visual(images)  # type: ignore[no-any-return]

    def thermal(self, images: Tensor) -> Tensor:
        return (self.clip.visual if self.infrared is None else self.infrared)(images)  # type: ignore[no-any-return]

    def text(self, tokens: Tensor) -> Tensor:
        return self.clip.encode_text(tokens)  # type: ignore[no-any-return]

    def save(self, folder: Path) -> None:
        """Write `model/`, which open_clip loads as `local-dir:`, and `model/infrared/`, whose images are infrared.

        The benchmark measures both as `train:FOLDER`.
        """
        own = visible = self.clip.visual
        thermal = self.infrared
        if self.kind == "lora":
            thermal = copy.deepcopy(own).merge_and_unload()
            visible = copy.deepcopy(own).unload()
        whole = folder / f".tmp-{MODEL}"
        shutil.rmtree(whole, ignore_errors=True)
        for place, visual in ((whole, visible), (whole / INFRARED, thermal)):
            if visual is not None:
                self.clip.visual = visual
                _write(place, self.clip, self.config)
        self.clip.visual = own
        shutil.rmtree(folder / MODEL, ignore_errors=True)
        whole.rename(folder / MODEL)


def _with_lora(visual: nn.Module, rank: int) -> Any:
    """The encoder with low-rank additions, all of it trained."""
    from peft import LoraConfig, get_peft_model

    names = {name.rpartition(".")[2] for name, layer in visual.named_modules() if isinstance(layer, nn.Linear)}
    if not set(LORA_LAYERS) <= names:
        raise UsageError("--towers lora: needs a vision transformer of open_clip: take shared or separate")
    found = get_peft_model(visual, LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=LORA_LAYERS))
    for parameter in found.parameters():
        parameter.requires_grad_(True)
    return found


def _write(folder: Path, clip: Any, config: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in clip.state_dict().items()}
    save_file(tensors, folder / WEIGHTS)
    save_config_for_hf(clip, folder / CONFIG, dict(config))
