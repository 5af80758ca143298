"""Fine-tune a vision-language model on a release: a low-rank adapter that reads the visible and the infrared view.

    python -m train.vlm --data DIR_OR_REPO --model ORG/NAME_OR_FOLDER --out RUN

A row is a prompt, the views it is about and the answer. The prompts are those of the benchmark, so that what is trained
is what is asked. RUN holds `model` (the adapter merged into the base: for `transformers serve RUN/model` and the
benchmark's `hf-vlm:RUN/model`), `adapter` with its card, `settings.toml`, `log.jsonl` and `checkpoints`. A run that was
killed goes on from its last whole checkpoint when it is started again.
"""

import json
import os
import shutil
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from torch.utils.data._utils import signal_handling
from transformers import AutoModelForImageTextToText, AutoProcessor, PrinterCallback, ProcessorMixin
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from fusionrs_builder import devices
from fusionrs_builder.benchmark.models.hugging_face import first_line
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.cards.models import Lora, Recipe, VlmFacts, vlm_card
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.release.load import load_split
from train import settings as config
from train.card import data_facts
from train.standing import Sources, begin, check
from train.vlm_rows import WORLD, Collator, Rows, Settings, captions
from train.workers import died

CHECKPOINTS, KEPT = "checkpoints", 2
"""Their folder in a run, and how many stay: the last, and the one before in case that is not whole."""

WHOLE = "whole.json"
"""File of a checkpoint, written last."""

WARMUP = 0.03
"""Share of the steps in which the learning rate rises."""

FREE = ("data", "out", "device", "workers", "save_every")
"""Settings that may differ when a run goes on; of the data the records themselves are compared."""


class Fit(SFTTrainer):
    """trl's trainer with a log and whole checkpoints, which stops where the loss is no number.

    Args:
        out: folder of the run.
        past: lines of the log of a run that goes on.
        given: as trl has it; batches are those of a `Collator`.
    """

    def __init__(self, out: Path, past: Sequence[Mapping[str, Any]], **given: Any) -> None:
        super().__init__(**given)
        self.remove_callback(PrinterCallback)
        self._files, self._folder = Files(str(out)), out / CHECKPOINTS
        last = past[-1] if past else {"seconds": 0.0, "too_long": 0}
        self._began, self.seconds, self.too_long = time.monotonic() - last["seconds"], last["seconds"], last["too_long"]
        self.progress = Progress("train.vlm", self.args.max_steps - len(past))
        if self.is_world_process_zero():
            self._files.write_bytes("log.jsonl", "".join(json.dumps(line) + "\n" for line in past).encode())

    def get_batch_samples(self, *args: Any, **more: Any) -> Any:
        """As trl's.

        Raises:
            FusionError: a worker died.
        """
        try:
            return super().get_batch_samples(*args, **more)
        except (RuntimeError, OSError, EOFError) as error:
            if told := died(error, self.args.dataloader_num_workers):
                raise told from error
            raise

    def compute_loss(self, model: Any, inputs: Any, *args: Any, **more: Any) -> Any:
        """As trl's.

        Raises:
            FusionError: it is not finite.
        """
        self.too_long += int(self.accelerator.gather_for_metrics(inputs.pop("too_long")).sum())
        loss: Any = super().compute_loss(model, inputs, *args, **more)  # type: ignore[no-untyped-call]
        if not torch.isfinite(loss):
            raise self._diverged(f"the loss is {loss.item()} at step {self.state.global_step + 1}")
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """A line of `log.jsonl` for every step."""
        super().log(logs, start_time)
        if "loss" in logs and self.is_world_process_zero():
            self.seconds = round(time.monotonic() - self._began, 1)
            told = {name: logs[name] for name in ("loss", "mean_token_accuracy", "learning_rate", "grad_norm")}
            line = {"step": self.state.global_step, **told, "too_long": self.too_long, "seconds": self.seconds}
            with open(self._files.path("log.jsonl"), "a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
            self.progress(1)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        if not all(weight.isfinite().all() for weight in model.parameters() if weight.requires_grad):
            # A gradient was not, at a loss that was.
            raise self._diverged(f"the weights are not finite after step {self.state.global_step}")
        super()._save_checkpoint(model, trial)  # type: ignore[no-untyped-call]
        if self.is_world_process_zero():
            step = self.state.global_step
            self._files.write_json(f"{CHECKPOINTS}/checkpoint-{step}/{WHOLE}", {"step": step})

    def _diverged(self, what: str) -> FusionError:
        last = last_whole(self._folder)
        return FusionError(
            f"{what}: train with a lower --learning-rate in another --out; "
            + (f"the last good checkpoint is {last}" if last else "there is no checkpoint yet")
        )

    def create_model_card(self, *args: Any, **more: Any) -> None:
        """None for a checkpoint: the card is written when the run is done."""

    def _send_telemetry(self) -> None:
        """Nobody is told."""


def last_whole(folder: Path) -> Path | None:
    """The newest checkpoint that was written to its end."""
    return max((path.parent for path in folder.glob(f"checkpoint-*/{WHOLE}")), key=step_of, default=None)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def standing(settings: Settings, sources: Sources) -> tuple[Path | None, list[dict[str, Any]]]:
    """The checkpoint to go on from, if there is one, and the log up to it.

    Raises:
        UsageError: it is of other settings or records.
    """
    out = Path(settings.out)
    last = last_whole(out / CHECKPOINTS)
    if last is None:
        return None, []
    check(settings, sources, FREE)
    lines = (out / "log.jsonl").read_text(encoding="utf-8").splitlines()
    return last, [json.loads(line) for line in lines[: step_of(last)]]


def on_gpu(settings: Settings) -> bool:
    """Whether the device is a GPU.

    Raises:
        UsageError: there is none, or there are several and this is the only process.
    """
    if devices.chosen(settings.device).type == "cpu":
        return False
    if (count := torch.cuda.device_count()) > 1 and WORLD == 1:
        raise UsageError(f"{count} GPUs: run `torchrun --nproc-per-node {count} -m ...`, or set CUDA_VISIBLE_DEVICES=0")
    return True


def opened(settings: Settings, cuda: bool) -> tuple[Any, Any]:
    """The base, in bf16 on a GPU, and its processor.

    Raises:
        UsageError: it is no model of pictures and words, or cannot be loaded.
    """
    load: Any = AutoModelForImageTextToText.from_pretrained
    try:
        processor: Any = AutoProcessor.from_pretrained(settings.model)  # type: ignore[no-untyped-call]
        if not isinstance(processor, ProcessorMixin) or not processor.chat_template:
            raise ValueError("it has no processor of pictures and words, or no chat template")
        dtype = torch.bfloat16 if cuda else torch.float32
        model, told = load(settings.model, dtype=dtype, use_safetensors=True, output_loading_info=True)
        if missing := sorted(told["missing_keys"]):  # transformers would go on with random ones
            raise ValueError(f"its weights lack {len(missing)} tensors, such as {missing[0]}")
    except Exception as error:  # whatever strangers' files do to their loaders
        raise UsageError(
            f"--model {settings.model} cannot be trained ({first_line(error)}): name an image-text-to-text model of "
            "transformers, safetensors with a chat template"
        ) from error
    processor.tokenizer.pad_token = processor.tokenizer.pad_token or processor.tokenizer.eos_token
    return model, processor


def train(settings: Settings) -> None:
    """Train, or go on; then write the model and its card.

    Raises:
        UsageError: the model, the device, or the settings of a run that stands do not fit.
        FusionError: there is nothing to learn from, a picture is damaged, the loss diverges, memory is too small.
    """
    cuda, out = on_gpu(settings), Path(settings.out)
    split = load_split(settings.data, "train")
    records = Records(split, Path(settings.data).resolve().name, "train")
    sources = {"the train split": records.sha256}
    last, past = standing(settings, sources)
    rows = Rows(records, settings)
    model, processor = opened(settings, cuda)
    begin(settings, sources)
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None) or sys.maxsize
    count = settings.steps * settings.batch_size
    fit = Fit(
        out, past, model=model, processing_class=processor, data_collator=Collator(rows, processor, context),
        # By the column `images` trl knows a set of pictures; the collator reads them.
        train_dataset=Dataset.from_dict({"row": range(count), "images": [[]] * count}),
        peft_config=LoraConfig(
            r=settings.lora_rank, lora_alpha=settings.lora_alpha, target_modules="all-linear", task_type="CAUSAL_LM",
        ),
        args=SFTConfig(
            output_dir=str(out / CHECKPOINTS), max_steps=settings.steps, seed=settings.seed,
            per_device_train_batch_size=settings.batch_size // (WORLD * settings.accumulate),
            gradient_accumulation_steps=settings.accumulate, train_sampling_strategy="sequential",
            learning_rate=settings.learning_rate, lr_scheduler_type="cosine",
            warmup_steps=round(WARMUP * settings.steps),
            max_length=None,
            use_cpu=not cuda, bf16=cuda, gradient_checkpointing=cuda,
            use_cache=True,  # in the configuration that is saved
            save_steps=settings.save_every, save_total_limit=KEPT, logging_steps=1, report_to="none", disable_tqdm=True,
            remove_unused_columns=False, dataloader_num_workers=settings.workers, dataloader_pin_memory=cuda,
        ),
    )  # fmt: skip
    signal_handling._SIGCHLD_handler_set = True  # torch's own raises amid whatever runs when a worker dies
    try:
        with fit.progress:
            fit.train(resume_from_checkpoint=str(last) if last else None)
    except torch.OutOfMemoryError as error:
        raise FusionError(f"out of memory ({first_line(error)}): give a larger --accumulate") from error
    if fit.is_world_process_zero():
        write(fit, processor, settings, rows, split, records)


def write(fit: Fit, processor: Any, settings: Settings, rows: Rows, split: Any, records: Records) -> None:
    """The adapter with its card, then the adapter merged into the base; each appears whole."""
    out, adapted = Path(settings.out), fit.accelerator.unwrap_model(fit.model)
    lora, licences = adapted.peft_config["default"], split["license"]
    ask = max((captions(records[place])[0] for place in rows.places), key=lambda one: len(one.views))
    gpus = f"{WORLD} x {torch.cuda.get_device_name()}" if fit.args.bf16 else ""
    card = vlm_card(
        VlmFacts(
            name=out.resolve().name,
            license="not stated",
            base_model=settings.model,
            data=data_facts(
                settings.data,
                [record.id for record in records],
                (records[place].ir_origin for place in rows.places),
                (licences[place] for place in rows.places),
            ),
            recipe=Recipe(
                losses={"next token of the answer": 1.0}, steps=settings.steps, batch_size=settings.batch_size,
                learning_rate=settings.learning_rate, precision="bf16" if fit.args.bf16 else "fp32",
                seed=settings.seed, hardware=gpus, seconds=fit.seconds,
                settings={name: value for name, value in asdict(settings).items() if name not in FREE},
            ),
            lora=Lora(rank=lora.r, alpha=lora.lora_alpha, targets=sorted(lora.target_modules)),
            views=["ir" if view == "infrared" else "rgb" for view in ask.views],
            prompt=ask.prompt,
            limits=[f"{fit.too_long} rows were longer than its context, and not learnt from."] * bool(fit.too_long),
        )
    )  # fmt: skip
    for name in ("adapter", "model"):
        temporary = out / f".tmp-{name}"
        shutil.rmtree(temporary, ignore_errors=True)
        (adapted if name == "adapter" else adapted.merge_and_unload()).save_pretrained(temporary)
        processor.save_pretrained(temporary)
        if name == "adapter":
            (temporary / "README.md").write_text(card, encoding="utf-8")
        shutil.rmtree(out / name, ignore_errors=True)
        temporary.rename(out / name)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code: 0; 1 where the work could not be done, 2 where the call is wrong."""
    try:
        settings = config.parse(Settings, "python -m train.vlm", str(__doc__).partition("\n")[0], argv)
        train(settings)
    except FusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    if not int(os.environ.get("RANK", "0")):
        of, tuned = f"--data {settings.data} --model hf-vlm:{settings.model}", f"hf-vlm:{settings.out}/model"
        print(f"done; beside its base: fusionrs-build benchmark captioning {of} --model {tuned}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
