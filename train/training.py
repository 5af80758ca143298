"""The loop that trains a CLIP on visible images, infrared views and text: one step after another, to the end.

A run can be gone on with at any step that was saved, to the same weights bit for bit on a CPU.
"""

import hashlib
import json
import math
import random
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from fusionrs_builder import devices
from fusionrs_builder.benchmark.models.trained import MODEL
from fusionrs_builder.cards.models import Recipe
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release.load import load_split
from fusionrs_builder.translate import snapshot
from train.card import CURVES, draw_curves, write_clip_card
from train.data import Loader
from train.gradient_cache import cached_backward
from train.kept import Kept, Swapped
from train.loss import Rows, Terms, gathered, trimodal
from train.optimiser import adamw, learning_rate
from train.recipe import MAY_DIFFER, Settings
from train.samples import Batch, DataSettings
from train.towers import Towers
from train.validate import validate

LOG, BOARD = "log.jsonl", "tensorboard"

SPLIT = "train"
"""That is learnt from."""


class Training:
    """The networks, what trains them, and where it is.

    Attributes:
        step: steps that were done.
    """

    def __init__(self, settings: Settings, rank: int, world: int, device: torch.device) -> None:
        self.settings, self.rank, self.world, self.step = settings, rank, world, 0
        self.out = Path(settings.out)
        self.device = device
        _seed(settings.seed)
        self.towers = Towers(
            settings.arch, settings.pretrained, settings.image_size, settings.towers, settings.lora_rank,
            settings.loss == "siglip",
        ).to(self.device)  # fmt: skip
        self.terms = Terms(settings.rgb_text, settings.ir_text, settings.rgb_ir, settings.fused_text)
        self.towers.freeze_unused(self.terms.needed)
        self.network: Any = self.towers if world == 1 else DistributedDataParallel(self.towers)
        if settings.chunk and self._sees_the_batch():
            raise UsageError("--chunk: this architecture has batch normalisation, which must see the whole batch")
        size = self.towers.size
        self.loader = Loader(
            DataSettings(
                settings.data, SPLIT, settings.infrared, settings.captions, settings.batch_size,
                size if isinstance(size, int) else size[0], settings.workers, settings.augment,
                settings.pairs, _kinds(settings), settings.streaming, settings.seed,
            ),
            self.towers.mean, self.towers.std, rank, world, self.device,
        )  # fmt: skip
        if settings.validate_every:
            load_split(settings.data, "validation")  # if there is none, better now than at the first measurement
        self.optimiser = adamw(self.towers, settings)
        self.board: Any = None
        self.kept = Kept(self.towers, settings.ema, settings.start_share)
        self.too_long = 0
        self.chunk = settings.chunk

    def run(self) -> None:
        """From where it is to the end.

        Raises:
            FusionError: the loss is not finite, or the data are broken.
        """
        from torch.utils.tensorboard import SummaryWriter  # seconds to import

        settings, started = self.settings, time.perf_counter()
        if self.rank == 0:
            self.board = SummaryWriter(self.out / BOARD, purge_step=self.step + 1)
        for batch in self._batches():
            terms = self.learn(batch)
            if not all(math.isfinite(value) for value in terms.values()):
                good = (self.step - 1) // settings.save_every * settings.save_every
                stands = f"the state of step {good} stands in" if good else "no state stands in"
                raise FusionError(
                    f"step {self.step}: the loss or its gradient is not finite ({terms}); {stands} {self.out}: lower "
                    "--learning-rate, into another --out, or look at the data"
                )
            self._tell(
                {"terms": terms, "scale": float(self.towers.scale.detach()), "lr": self.optimiser.param_groups[0]["lr"]}
            )
            if settings.validate_every and self.step % settings.validate_every == 0 and self.rank == 0:
                with Swapped(self.towers, self.kept.weights()):
                    found = validate(self.towers, settings.data, str(self.device))
                self._tell({"validation": found})
            if self.step % settings.save_every == 0 or self.step == settings.steps:
                self._save()
        self._tell({"ended": self.step, "seconds": round(time.perf_counter() - started, 1), "too_long": self.too_long})

    def _batches(self) -> Iterator[Batch]:
        """Those of the steps that are left, epoch after epoch."""
        while self.step < self.settings.steps:
            epoch, start = divmod(self.step, len(self.loader))
            for batch in self.loader.epoch(epoch, start):
                if self.step == self.settings.steps:
                    return
                yield batch

    def learn(self, batch: Batch) -> dict[str, float]:
        """One step; the terms of the loss by their names."""
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.step, self.settings)
        views: dict[str, Tensor] = {name: getattr(batch, name) for name in self.terms.needed & {"rgb", "infrared"}}
        views |= {name: self._tokens(getattr(batch, name)) for name in self._texts()}
        rows = Rows(
            _numbers(batch.ids, self.device), batch.scene_group, batch.infrared_group, batch.has_rgb, batch.has_infrared
        )
        rows = rows.gathered()
        self.optimiser.zero_grad(set_to_none=True)
        with devices.attention(self.device):
            terms = self._fitting(views, rows)
        norm = torch.nn.utils.get_total_norm(each.grad for each in self.towers.parameters() if each.grad is not None)
        if not norm.isfinite():
            terms = {**terms, "gradient": float(norm)}
        elif terms:
            self.optimiser.step()
            self.towers.clamp()
        self.step += 1
        self.kept.update(self.step)
        return terms

    def _texts(self) -> list[str]:
        """Those that are embedded; where infrared views have the scene's captions, these once for both."""
        texts = self.terms.needed & {"scene", "infrared_text"}
        same = self.settings.captions == "scene" and texts
        return ["scene"] if same else sorted(texts)

    def _fitting(self, views: dict[str, Tensor], rows: Rows) -> dict[str, float]:
        """`_backward`, by fewer rows at a time where memory is out, once and for all."""
        for _ in range(2):
            try:
                return self._backward(views, rows)
            except torch.OutOfMemoryError:
                if self.world > 1 or self._sees_the_batch():
                    break  # ranks must go on alike; and batch normalisation sees the whole batch
            # Only here the failed graph is gone: an exception that is handled holds it.
            self.chunk = max(1, (self.chunk or len(rows.record)) // 2)
            self._tell({"out_of_memory": f"rows are embedded {self.chunk} at a time from here on"})
            torch.cuda.empty_cache()
            self.optimiser.zero_grad(set_to_none=True)
        raise FusionError(
            f"{self.out}: out of memory: give a smaller --chunk (it is {self.chunk}), or a smaller --batch-size"
        )

    def _sees_the_batch(self) -> bool:
        kinds = (torch.nn.modules.batchnorm._BatchNorm,)
        return any(isinstance(layer, kinds) for layer in self.towers.modules())

    def _backward(self, views: dict[str, Tensor], rows: Rows) -> dict[str, float]:
        count = len(next(iter(views.values())))
        size = self.chunk or count

        def chunk(start: int) -> Any:
            def embed() -> dict[str, Tensor]:
                with devices.autocast(self.device, self.settings.precision):
                    return dict(self.network({name: given[start : start + size] for name, given in views.items()}))

            return embed

        def loss(embeddings: Any) -> dict[str, Tensor]:
            whole = {name: gathered(each) for name, each in embeddings.items()}
            bias = getattr(self.towers.clip, "logit_bias", None)
            unused = 0 if bias is None else bias
            if "infrared_text" not in whole and "scene" in whole:
                whole["infrared_text"] = whole["scene"]
            terms = trimodal(whole, rows, self.terms, self.settings.loss, self.towers.scale, bias)
            # DistributedDataParallel waits for a gradient of every parameter, of those that no term uses too.
            unused = unused + sum(each.sum() for each in whole.values())
            return {name: term + 0 * unused if n == 0 else term for n, (name, term) in enumerate(terms.items())}

        chunks = [chunk(start) for start in range(0, count, size)]
        return cached_backward(chunks, loss, nullcontext if self.world == 1 else self.network.no_sync)

    def _tokens(self, texts: Sequence[str]) -> Tensor:
        tokens: Tensor = self.towers.tokenize(list(texts), context_length=self.towers.context)
        full = [text for text, row in zip(texts, tokens, strict=True) if row[-1]]  # one of SigLIP may pad with 1
        self.too_long += sum(self.towers.tokens_of(text) > self.towers.context for text in full)
        return tokens.to(self.device)

    def _tell(self, facts: dict[str, Any]) -> None:
        if self.rank == 0:
            snapshot.append(self.out / LOG, {"step": self.step, **facts})
            for kind in ("terms", "validation"):
                for name, value in facts.get(kind, {}).items():
                    self.board.add_scalar(f"{kind}/{name}", value, self.step)
            if self.step % 20 == 0 or "terms" not in facts:
                print(json.dumps({"step": self.step, **facts}), file=sys.stderr, flush=True)

    def _save(self) -> None:
        if self.rank:
            return
        state = {
            "step": self.step,
            "towers": self.towers.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "torch": torch.get_rng_state(),
            "kept": self.kept.state(),
            "too_long": self.too_long,
        }
        snapshot.save(self.out, _key(self.settings), state)

    def resume(self) -> None:
        """Go on where the run stands, if it does."""
        state = snapshot.load(self.out, _key(self.settings))
        if state is None:
            return
        self.step, self.too_long = state["step"], 0 if self.rank else state["too_long"]
        self.towers.load_state_dict(state["towers"])
        self.optimiser.load_state_dict(state["optimiser"])
        torch.set_rng_state(state["torch"])
        self.kept.load(state["kept"])
        snapshot.history(self.out / LOG, self.step)

    def close(self) -> None:
        """Write what TensorBoard still holds."""
        if self.board is not None:
            self.board.close()

    def finish(self) -> None:
        """Write `model/`, with the weights that are kept."""
        if self.world > 1:
            total = torch.tensor(self.too_long, device=self.device)
            torch.distributed.all_reduce(total)
            self.too_long = int(total)
        if self.rank == 0:
            self.towers.load_state_dict(self.kept.weights())
            self.towers.save(self.out)
            draw_curves(self.out / LOG, self.out / CURVES)
            settings = self.settings
            long = f"{self.too_long} of the captions drawn in {self.step} steps were longer than its context, and cut."
            write_clip_card(
                self.out / MODEL, settings.data, self.towers.arch, settings.towers, self.towers.start,
                Recipe(
                    losses={name: weight for name, weight in asdict(self.terms).items() if weight},
                    steps=settings.steps, batch_size=settings.batch_size, learning_rate=settings.learning_rate,
                    precision=devices.precision(self.device) if settings.precision == "auto" else settings.precision,
                    seed=settings.seed,
                    settings={name: value for name, value in asdict(settings).items() if name not in MAY_DIFFER},
                ),
                [long] * bool(self.too_long),
                settings.infrared == "infrared" and any((settings.ir_text, settings.rgb_ir, settings.fused_text)),
            )  # fmt: skip


def _kinds(settings: Settings) -> list[Literal["scene", "ir"]]:
    """Of captions that the terms need."""
    found: list[Literal["scene", "ir"]] = []
    if settings.rgb_text or settings.fused_text or (settings.ir_text and settings.captions == "scene"):
        found.append("scene")
    if settings.ir_text and settings.captions != "scene":
        found.append("ir")
    return found


def _numbers(ids: Sequence[str], device: torch.device) -> Tensor:
    """int64 [N]: the same for the same record on every rank."""
    found = [int.from_bytes(hashlib.sha256(id.encode()).digest()[:8], "big") >> 1 for id in ids]
    return torch.tensor(found, device=device)


def _key(settings: Settings) -> str:
    facts = {name: value for name, value in asdict(settings).items() if name not in MAY_DIFFER}
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _seed(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
