"""The visual questions and the captioning of infrared views as tasks of lmms-eval (EvolvingLMMs-Lab/lmms-eval).

A folder that `lmms-eval --include_path` takes: a YAML a task, the data as Parquet, and `utils.py`, which imports
nothing of this package. It is the source of the functions here that score (`EXPORTED`), and of what they use: an answer
is read, and a caption is split into words and scored, by one definition here and there.
"""

import inspect
import json
import os
import re
import shutil
import statistics
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder import pixels, schema
from fusionrs_builder.benchmark.metrics import rouge, tokens
from fusionrs_builder.benchmark.metrics.rouge import _score as rouge_l
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.prompts import CAPTION_INFRARED
from fusionrs_builder.benchmark.records import Record, Records
from fusionrs_builder.benchmark.tasks import captioning, vqa
from fusionrs_builder.benchmark.vqa import normalise as normalising
from fusionrs_builder.benchmark.vqa.asked import Asked
from fusionrs_builder.benchmark.vqa.normalise import normalise
from fusionrs_builder.benchmark.vqa.questions import by_type, questions
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import TEMPORARY, Files

VQA, CAPTION = "fusionrs_vqa", "fusionrs_ir_caption"

README = "README.md"

ROW_GROUP = 100
"""Rows that are held, and that a row group of the Parquet files has."""

Row = Mapping[str, Any]
"""A document of lmms-eval."""


def picture(doc: Row) -> list[Any]:
    """The infrared view, in mode RGB."""
    return [doc["image"].convert("RGB")]


def vqa_scores(doc: Row, results: Sequence[str]) -> dict[str, Any]:
    """Of one question: its type's accuracy, and what the mean over types and the file of answers are made of."""
    said = results[0] if results else ""
    answer = normalise(said, tuple(doc["choices"]))
    part, right = f"{doc['corpus']}_{doc['origin']}", float(answer == doc["answer"])
    return {
        f"{part}_accuracy": {"type": doc["type"], "score": right},
        f"{part}_{doc['type']}": right,
        "unreadable": {"id": doc["key"], "answer": said, "score": float(answer is None)},
    }


def vqa_macro(items: Sequence[Row]) -> float:
    """The mean over types of question of the accuracy of each."""
    types = sorted({item["type"] for item in items})
    return statistics.fmean(
        statistics.fmean(item["score"] for item in items if item["type"] == type) for type in types
    )  # fmt: skip


def vqa_unreadable(items: Sequence[Row], args: Any = None) -> float:
    """The share of answers that say none of the choices; writes all answers to a file."""
    submit("fusionrs_vqa", [{"id": item["id"], "answer": item["answer"]} for item in items], args)
    return statistics.fmean(item["score"] for item in items)


def caption_scores(doc: Row, results: Sequence[str]) -> dict[str, Any]:
    """Of one caption: ROUGE-L, and what the mean number of words and the file of captions are made of."""
    said = " ".join(results[0].split()) if results else ""
    score = rouge_l(tokenise(said), [tokenise(caption) for caption in doc["references"]])
    return {
        f"{doc['corpus']}_{doc['origin']}_rouge_l": score,
        "words": {"id": doc["id"], "caption": said, "score": len(said.split())},
    }


def caption_words(items: Sequence[Row], args: Any = None) -> float:
    """The mean number of words of a caption; writes all captions to a file."""
    submit("fusionrs_ir_caption", [{"id": item["id"], "caption": item["caption"]} for item in items], args)
    return statistics.fmean(item["score"] for item in items)


def submit(name: str, lines: Sequence[Row], args: Any) -> None:
    """Write JSON lines to `submissions/NAME.jsonl` below the output path of lmms-eval, or the folder one is in."""
    folder = os.path.join(getattr(args, "output_path", None) or ".", "submissions")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, f"{name}.jsonl"), "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


EXPORTED = (picture, vqa_scores, vqa_macro, vqa_unreadable, caption_scores, caption_words, submit)


@dataclass(frozen=True)
class _Task:
    """A task of the folder.

    Attributes:
        lists: the column of the rows that holds several texts; `image` aside the others hold one.
        target: the column of what is right.
        scores: the function of `utils.py` that scores a row.
        metrics: name -> how it is aggregated.
    """

    name: str
    rows: Iterator[Row]
    lists: str
    target: str
    most_tokens: int
    scores: str
    metrics: Mapping[str, str]


def export(records: Records, folder: Path, seed: int = 0, prompt: str = CAPTION_INFRARED) -> list[str]:
    """Write the task folder, whole or not at all; an earlier one in its place is replaced.

    The pictures are the infrared views, as PNG. The YAMLs name the data by absolute paths, for lmms-eval knows no
    others: who moves the folder edits them.

    Args:
        records: one split.
        folder: to be written.
        seed: of the questions.
        prompt: asks for a caption.

    Returns:
        The tasks: `fusionrs_vqa`, `fusionrs_ir_caption`, or the one that the split holds something for.

    Raises:
        UsageError: the folder holds something else.
        FusionError: the split holds nothing for either task, or a picture cannot be read.
    """
    folder = folder.resolve()
    if folder.exists() and not (folder.is_dir() and (_is_export(folder) or not any(folder.iterdir()))):
        raise UsageError(f"{folder} holds something else: name a new folder, or one that was exported before")
    asked = questions(records, seed)
    captioned = [place for place, one in enumerate(records) if one.ir_captions and one.key("infrared") is not None]
    if not asked and not captioned:
        raise FusionError(
            f"{records.dataset}: the split {records.split} holds neither boxes to ask about nor infrared captions; "
            "name another as DATA:SPLIT"
        )
    tasks = [_vqa(records, asked)] if asked else []
    tasks += [_caption(records, captioned, prompt)] if captioned else []
    split = re.sub(r"\W+", "_", records.split).strip("_") or "test"
    fresh = folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    try:
        for task in tasks:
            data = f"data/{task.name.removeprefix('fusionrs_').replace('_', '-')}-{split}.parquet"
            _write_data(fresh / data, task)
            Files(str(fresh)).write_bytes(f"{task.name}.yaml", _yaml(task, str(folder / data), split).encode())
        Files(str(fresh)).write_bytes("utils.py", utils().encode())
        Files(str(fresh)).write_bytes(README, _readme(records, tasks, folder, asked, seed).encode())
        _put(fresh, folder)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return [task.name for task in tasks]


def utils() -> str:
    """The source of `utils.py`."""
    parts = [
        '"""Made by `fusionrs-build`: scores of the tasks beside it. Python 3.10 or newer, no library."""\n',
        "from __future__ import annotations\n",
        "import json\nimport os\nimport statistics\n"
        "from collections.abc import Mapping, Sequence\nfrom typing import Any\n",
        inspect.getsource(normalising),
        inspect.getsource(tokens),
        f"BETA = {rouge.BETA}\n",
        inspect.getsource(rouge._common),
        inspect.getsource(rouge._score),
        "rouge_l = _score\n",
        "Row = Mapping\n",
        *(inspect.getsource(function) for function in EXPORTED),
    ]
    return "\n\n".join(parts)


def _vqa(records: Records, asked: Sequence[Asked]) -> _Task:
    def rows() -> Iterator[Row]:
        encoded = _encoder(records)
        for one in asked:
            record: Record = records[one.place]
            yield {
                "key": one.key, "id": record.id, "corpus": record.corpus, "origin": str(record.ir_origin),
                "type": one.type, "prompt": one.prompt, "choices": list(one.choices), "answer": one.answer,
                "image": encoded(one.place),
            }  # fmt: skip

    metrics = {"unreadable": "!function utils.vqa_unreadable"}
    for part in sorted({_part(records[one.place]) for one in asked}):
        metrics[f"{part}_accuracy"] = "!function utils.vqa_macro"
        types = by_type(one for one in asked if _part(records[one.place]) == part)
        metrics |= {f"{part}_{type}": "mean" for type in types}
    return _Task(VQA, rows(), "choices", "answer", vqa.MOST_TOKENS, vqa_scores.__name__, metrics)


def _caption(records: Records, places: Sequence[int], prompt: str) -> _Task:
    def rows() -> Iterator[Row]:
        encoded = _encoder(records)
        for place in places:
            record: Record = records[place]
            yield {
                "id": record.id, "corpus": record.corpus, "origin": str(record.ir_origin), "prompt": prompt,
                "references": list(record.ir_captions), "image": encoded(place),
            }  # fmt: skip

    metrics = {"words": "!function utils.caption_words"}
    metrics |= {f"{part}_rouge_l": "mean" for part in sorted({_part(records[place]) for place in places})}
    return _Task(CAPTION, rows(), "references", "references", captioning.MOST_TOKENS, caption_scores.__name__, metrics)


def _part(record: Record) -> str:
    """What metrics are taken by: measured and translated views of a corpus are never mixed."""
    return f"{record.corpus}_{record.ir_origin}"


def _encoder(records: Records) -> Callable[[int], dict[str, Any]]:
    """Place of a record -> its infrared view as `datasets` stores an image; the last one is kept."""

    @lru_cache(maxsize=1)
    def encoded(place: int) -> dict[str, Any]:
        one_channel = np.asarray(records.picture(place, "infrared"))[..., 0]
        return {"bytes": pixels.encode_png(one_channel), "path": None}

    return encoded


def _write_data(path: Path, task: _Task) -> None:
    """Parquet that `datasets` of any version reads: its features are named as those before 4.0 knew them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = next(task.rows)
    text = {"dtype": "string", "_type": "Value"}
    features: dict[str, Any] = dict.fromkeys(first, text) | {
        task.lists: {"feature": text, "_type": "Sequence"},
        "image": {"_type": "Image"},
    }
    types = {name: pa.string() for name in first} | {task.lists: pa.list_(pa.string()), "image": schema.IMAGE}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = chain([first], task.rows)
    # Questions about one picture stand beside each other: zstd finds the copies.
    with pq.ParquetWriter(path, pa.schema(types, metadata), compression="zstd") as writer:
        while some := list(islice(rows, ROW_GROUP)):
            writer.write_table(pa.Table.from_pylist(some, writer.schema))


def _yaml(task: _Task, data: str, split: str) -> str:
    lines = [
        f"task: {task.name}",
        "dataset_path: parquet",
        f"dataset_kwargs:\n  data_files:\n    {split}: {json.dumps(data)}",
        f"test_split: {split}",
        "output_type: generate_until",
        "doc_to_visual: !function utils.picture",
        "doc_to_text: prompt",
        f"doc_to_target: {task.target}",
        f"generation_kwargs:\n  max_new_tokens: {task.most_tokens}\n  temperature: 0\n  do_sample: false",
        f"process_results: !function utils.{task.scores}",
        "metric_list:",
    ]
    for name, aggregation in task.metrics.items():
        better = str(name != "unreadable").lower()
        lines.append(f"  - metric: {json.dumps(name)}\n    aggregation: {aggregation}\n    higher_is_better: {better}")
    return "\n".join([*lines, "metadata:\n  version: 1.0"]) + "\n"


def _readme(records: Records, tasks: Sequence[_Task], folder: Path, asked: Sequence[Asked], seed: int) -> str:
    counts = ", ".join(f"{count} of {type}" for type, count in by_type(asked).items())
    return f"""# {records.dataset}, split {records.split}, for lmms-eval

Made by `fusionrs-build` from the release {records.dataset} (split sha256 {records.sha256}). Pictures and texts keep the
licences that the release names for each record.

    lmms-eval --model MODEL --model_args ... --include_path {folder} \\
        --tasks {",".join(task.name for task in tasks)} --output_path OUT

- `{VQA}`: {vqa.PROTOCOL}, seed {seed}, {len(asked)} questions{f" ({counts})" if asked else ""}. For each corpus and
  origin of its infrared views, `CORPUS_ORIGIN_accuracy` is the mean of the accuracies of the types of question.
- `{CAPTION}`: `CORPUS_ORIGIN_rouge_l` against the infrared captions of the release. BLEU, METEOR, CIDEr-D and the
  checks for false claims: `fusionrs-build benchmark captioning --model predictions:FILE` with
  `OUT/submissions/{CAPTION}.jsonl`.

The YAMLs name the data by absolute path: edit `data_files` when the folder moves.
"""


def _is_export(folder: Path) -> bool:
    return all((folder / name).is_file() for name in ("utils.py", README)) and (folder / "data").is_dir()


def _put(fresh: Path, folder: Path) -> None:
    """Put a finished folder in its place, and what was there away."""
    old = folder.parent / f"{TEMPORARY}{uuid.uuid4().hex}"
    if folder.exists():
        folder.rename(old)
    fresh.rename(folder)
    shutil.rmtree(old, ignore_errors=True)
