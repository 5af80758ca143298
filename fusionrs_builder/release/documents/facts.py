"""What the dataset card tells, counted off the release files in one pass over their small columns."""

import hashlib
import heapq
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from fusionrs_builder import schema
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

EXAMPLES = 8
"""Example rows in the card, taken from the corpora in turn."""

COLUMNS = (
    *("id", "split", "corpus", "ir_origin", "ir_band", "ir_source", "caption_source", "source_url"),
    *("license", "license_url", "attribution", "redistributable"),
)


@dataclass(frozen=True)
class Licence:
    """Terms that some records of a corpus share."""

    corpus: str
    name: str
    url: str
    redistributable: bool
    source_url: str


@dataclass(frozen=True, order=True)
class Place:
    """Where a candidate for an example row is; ordered by the draw."""

    draw: str
    shard: str
    row: int


@dataclass
class Facts:
    """Counts of released records.

    Attributes:
        splits: records a split.
        ids: sha256 over the ids of a split, in order, a line each.
        corpora: records a corpus and split.
        origins: records by origin, band and source of the infrared view.
        writers: captions by kind (`scene`, `ir`) and writer.
        prompts: records by the sha256 of the prompt or phrase file their captions were made by.
        checks: records by the name of a check that all of their captions passed.
        failed: captions left out, by the check that they failed.
        licences: records by terms.
        attributions: the lines to show, by terms; two stand for "more than one".
        candidates: example rows by corpus, drawn by the sha256 of their id.
    """

    splits: Counter[str] = field(default_factory=Counter)
    ids: dict[str, str] = field(default_factory=dict)
    corpora: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    origins: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    writers: Counter[tuple[str, str]] = field(default_factory=Counter)
    prompts: Counter[str] = field(default_factory=Counter)
    checks: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    licences: Counter[Licence] = field(default_factory=Counter)
    attributions: dict[Licence, set[str]] = field(default_factory=lambda: defaultdict(set))
    candidates: dict[str, list[Place]] = field(default_factory=lambda: defaultdict(list))

    @property
    def records(self) -> int:
        return self.splits.total()

    def count(self, row: Row) -> None:
        self.splits[row["split"]] += 1
        self.corpora[row["corpus"]][row["split"]] += 1
        self.origins[row["ir_origin"] or "", row["ir_band"] or "", row["ir_source"] or ""] += 1
        source = row["caption_source"] or {}
        for kind in ("scene", "ir"):
            self.writers.update((kind, writer) for writer in source.get(kind) or [])
        if source.get("prompt_sha256"):
            self.prompts[source["prompt_sha256"]] += 1
        self.checks.update(source.get("checks") or [])
        self.failed.update(each.partition(":")[0] for each in source.get("failed") or [])
        terms = Licence(
            row["corpus"],
            row["license"],
            row["license_url"] or "",
            bool(row["redistributable"]),
            row["source_url"] or "",
        )
        self.licences[terms] += 1
        if row["attribution"] and len(self.attributions[terms]) < 2:
            self.attributions[terms].add(row["attribution"])

    def draw(self, row: Row, shard: str, place: int) -> None:
        found = self.candidates[row["corpus"]]
        found.append(Place(hashlib.sha256(row["id"].encode()).hexdigest(), shard, place))
        if len(found) > 100 * EXAMPLES:
            found[:] = heapq.nsmallest(EXAMPLES, found)

    def examples(self) -> list[Place]:
        """The rows to show: one of each corpus in turn, by the draw."""
        queues = [heapq.nsmallest(EXAMPLES, self.candidates[corpus]) for corpus in sorted(self.candidates)]
        turns = [place for turn in range(EXAMPLES) for queue in queues for place in queue[turn : turn + 1]]
        return turns[:EXAMPLES]


def gather(workspace: Workspace, layer: str, shards: Sequence[str]) -> Facts:
    """Count the records of the given release files."""
    facts = Facts()
    hashes: dict[str, Any] = defaultdict(hashlib.sha256)
    for shard in shards:
        for place, row in enumerate(workspace.rows(layer, shard, COLUMNS)):
            facts.count(row)
            facts.draw(row, shard, place)
            hashes[row["split"]].update(row["id"].encode() + b"\n")
    facts.ids = {split: found.hexdigest() for split, found in hashes.items()}
    return facts


def funnel(workspace: Workspace) -> list[dict[str, object]]:
    """What went into each layer, what came out good, and what was refused by which reason."""
    found: list[dict[str, object]] = []
    for layer in schema.LAYERS:
        items, refused = 0, Counter[str]()
        for footer in workspace.footers(layer).values():
            items += footer.items
            refused.update(footer.refused)
        good = items - refused.total()
        found.append({"layer": layer, "items": items, "good": good, "refused": dict(sorted(refused.items()))})
    return found
