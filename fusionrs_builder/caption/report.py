"""What the captions layer holds: who wrote, what the checks found, and examples of both."""

import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from fusionrs_builder.errors import FusionError
from fusionrs_builder.workspace import Workspace

EXAMPLES = 20

MOST_ALIKE = 20
"""Records that one sentence of a model may stand in, or a thousandth of all, if that is more."""

COLUMNS = ("scene_captions", "ir_captions", "caption_source", "reason")


@dataclass
class Report:
    """Counts over the layer.

    Attributes:
        records: rows.
        captioned: rows with captions.
        captions: by kind (`scene`, `ir`) and writer.
        of_model: records that were put to a model.
        filled_in: of these, those in which the grounded writer filled in.
        refused: of these, those in which anything was refused.
        failed: what failed, by check.
        examples: some records, those in which something failed first: id, captions, writers, failures.
    """

    records: int = 0
    captioned: int = 0
    captions: Counter[tuple[str, str]] = field(default_factory=Counter)
    of_model: int = 0
    filled_in: int = 0
    refused: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    examples: list[dict[str, Any]] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        captions = [{"kind": k, "writer": w, "captions": n} for (k, w), n in sorted(self.captions.items())]
        return {**vars(self), "captions": captions, "failed": dict(self.failed.most_common())}

    def lines(self) -> list[str]:
        """For people."""
        told = [f"{self.records:,} records, {self.captioned:,} with captions"]
        for (kind, writer), count in sorted(self.captions.items()):
            told.append(f"  {kind:6} {writer:32} {count:>10,}")
        if self.of_model:
            told.append(
                f"{self.of_model:,} records were put to a model: in {self.refused:,} something was refused, in "
                f"{self.filled_in:,} the grounded writer filled in"
            )
            for check, count in self.failed.most_common():
                told.append(f"  {check:32} {count:>10,}  {count / self.of_model:8.2%} of these records")
        for example in self.examples:
            told += ["", example["id"]]
            told += [f"  {kind}: {text}  [{writer}]" for kind, text, writer in example["captions"]]
            told += [f"  failed: {text}" for text in example["failed"]]
        return told


def report(workspace: Workspace, seed: int = 0) -> Report:
    """Read the captions layer, a row group at a time.

    Raises:
        FusionError: there is none.
    """
    found, rng = Report(), random.Random(seed)
    kept: list[tuple[float, dict[str, Any]]] = []
    for shard in workspace.shards("captions"):
        for row in workspace.rows("captions", shard, ["id", *COLUMNS]):
            found.records += 1
            source = row["caption_source"]
            if source is None:
                continue
            found.captioned += 1
            writers = [*source["scene"], *source["ir"]]
            failed = source["failed"] or []
            for kind in ("scene", "ir"):
                found.captions.update((kind, writer) for writer in source[kind])
            if failed or any(writer.startswith("chat:") for writer in writers):
                found.of_model += 1
                found.refused += bool(failed)
                found.filled_in += bool(failed) and any(writer.startswith("grounded") for writer in writers)
                found.failed.update({text.partition(":")[0] for text in failed})
            kept.append((rng.random() - bool(failed), _example(row, source, failed)))
            if len(kept) > 50 * EXAMPLES:
                kept = sorted(kept, key=lambda pair: pair[0])[:EXAMPLES]
    if not found.records:
        raise FusionError(f"{workspace.url}: no captions yet: run `fusionrs-build caption` first")
    found.examples = [example for _, example in sorted(kept, key=lambda pair: pair[0])[:EXAMPLES]]
    return found


def alike(workspace: Workspace) -> list[str]:
    """Sentences of a model that stand in many records, and so say nothing of any: what a person should hear of them."""
    seen: Counter[int] = Counter()
    records = 0

    def said() -> Iterator[str]:
        nonlocal records
        for shard in workspace.shards("captions"):
            for row in workspace.rows("captions", shard, ["scene_captions", "ir_captions", "caption_source"]):
                source = row["caption_source"] or {"scene": [], "ir": []}
                pairs = [*zip(row["scene_captions"] or [], source["scene"], strict=True),
                         *zip(row["ir_captions"] or [], source["ir"], strict=True)]  # fmt: skip
                records += 1
                yield from {text.casefold() for text, writer in pairs if writer.startswith("chat:")}

    for text in said():
        seen[hash(text)] += 1  # a number for each: the sentences themselves may be millions
    limit = max(MOST_ALIKE, records // 1000)
    often = {key for key, count in seen.items() if count > limit}
    if not often:
        return []
    found = {text: seen[hash(text)] for text in said() if hash(text) in often}
    worst = max(found, key=lambda text: found[text])
    return [
        f"{len(found)} sentences of the model stand in more than {limit} records each, {worst!r} in {found[worst]}: "
        "give another --prompt or --model, or a higher --temperature"
    ]


def _example(row: dict[str, Any], source: dict[str, Any], failed: list[str]) -> dict[str, Any]:
    captions = [
        (kind, text, writer)
        for kind, texts in (("scene", row["scene_captions"]), ("ir", row["ir_captions"]))
        for text, writer in zip(texts or [], source[kind], strict=True)
    ]
    return {"id": row["id"], "captions": captions, "failed": failed}
