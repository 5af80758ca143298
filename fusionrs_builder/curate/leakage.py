"""The leakage report, the funnel of each corpus and the lists of what is left out, read off the layers as they stand.

curation/report.md, report.json     what became of the items of each corpus; what is grouped, and across what
curation/excluded/<corpus>.csv      id and reason of every record that the release does not hold
"""

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from fusionrs_builder import captions
from fusionrs_builder.curate import groups
from fusionrs_builder.curate.splits import SPLITS
from fusionrs_builder.shards import corpus_of
from fusionrs_builder.stage import digest
from fusionrs_builder.workspace import Workspace

REPORT = "curation/report.json"
PAGE = "curation/report.md"
EXCLUDED = "curation/excluded"

LARGEST = 10
"""Groups named in the report."""


def write(workspace: Workspace) -> dict[str, Any]:
    """Write report and lists anew. Gives the report."""
    count = _Count()
    for corpus, shards in _by_corpus(workspace).items():
        excluded = io.StringIO()
        lines = csv.writer(excluded, lineterminator="\n")
        lines.writerow(("id", "reason"))
        for shard in shards:
            lines.writerows(count.add(workspace, corpus, shard))
        workspace.write_bytes(f"{EXCLUDED}/{corpus}.csv", excluded.getvalue().encode())
    _remove_others(workspace, set(count.corpora))
    report = {"of": _of(workspace), **count.report()}
    workspace.write_bytes(PAGE, _page(report).encode())
    workspace.write_json(REPORT, report)  # last: it is what says that all of them are written
    return report


def is_current(workspace: Workspace) -> bool:
    return bool(workspace.read_json(REPORT, {}).get("of") == _of(workspace))


def lines(workspace: Workspace) -> list[str]:
    """The report in a few lines, for the terminal; none where it is not written."""
    found = workspace.read_json(REPORT, {})
    if not found:
        return []
    leaks, within = found["leakage"], found["groups"]
    largest = within["largest"][0]["records"] if within["largest"] else min(1, within["count"])
    return [
        f"{within['count']:,} groups, the largest of {largest:,} records; "
        f"{leaks['groups_across_splits']} lie across splits",
        f"report: {workspace.path(PAGE)}",
    ]


class _Count:
    """What is counted, shard by shard."""

    def __init__(self) -> None:
        self.corpora: list[str] = []
        self.funnel: dict[str, dict[str, Any]] = {}
        self.moved: Counter[tuple[str, str, str]] = Counter()
        self.joined_by: dict[str, Counter[str]] = defaultdict(Counter)
        self.columns: dict[str, list[Any]] = {"group": [], "corpus": [], "split": []}
        self.said: dict[int, list[Any]] = defaultdict(list)

    def add(self, workspace: Workspace, corpus: str, shard: str) -> Iterator[tuple[str, str]]:
        """Count a shard; gives id and reason of what is left out."""
        if corpus not in self.funnel:
            self.corpora.append(corpus)
            self.funnel[corpus] = {
                "items": 0, "rejected": Counter(), "records": 0, "left_out": Counter(), **dict.fromkeys(SPLITS, 0)
            }  # fmt: skip
        funnel = self.funnel[corpus]
        footer = workspace.footer("rgb", shard)
        if footer:
            funnel["items"] += footer.items
            funnel["rejected"].update(footer.refused)
        rows = workspace.zip(
            shard,
            {
                "rgb": ["corpus_split", "publisher_captions", "model_captions"],
                "curation": ["group_id", "grouped_by", "split", "keep", "reason"],
            },
        )
        numbers, split_codes = [], []
        said: dict[int, list[int]] = defaultdict(list)
        for row in rows:
            funnel["records"] += 1
            self.joined_by[corpus].update(row["grouped_by"])
            if row["keep"]:
                funnel[row["split"]] += 1
                numbers.append(groups.group_number(row["group_id"]))
                split_codes.append(SPLITS.index(row["split"]))
                if row["corpus_split"]:
                    self.moved[corpus, row["corpus_split"], row["split"]] += 1
                texts = [*(row["publisher_captions"] or ()), *(row["model_captions"] or ())]
                said[split_codes[-1]] += [captions.key(text) for text in texts]
            else:
                funnel["left_out"][row["reason"].split(":", 1)[0]] += 1
                yield row["id"], row["reason"]
        self.columns["group"].append(np.array(numbers, np.uint64))
        self.columns["split"].append(np.array(split_codes, np.int8))
        self.columns["corpus"].append(np.full(len(numbers), self.corpora.index(corpus), np.int32))
        for split, keys in said.items():
            self.said[split].append(np.unique(np.array(keys, np.uint64)))

    def report(self) -> dict[str, Any]:
        group, split, corpus = (
            np.concatenate(self.columns[name]) if self.columns[name] else np.empty(0, np.int64)
            for name in ("group", "split", "corpus")
        )
        _, which, sizes = np.unique(group, return_inverse=True, return_counts=True)
        spread = np.unique(np.stack([which, split], axis=1), axis=0)
        corpora = np.unique(np.stack([which, corpus], axis=1), axis=0)
        return {
            "funnel": self.funnel,
            "groups": {
                "count": len(sizes),
                "of_several": int((sizes > 1).sum()),
                "joined_by": self.joined_by,
                "largest": [
                    {
                        "records": int(sizes[one]),
                        "corpora": [self.corpora[code] for code in corpora[corpora[:, 0] == one, 1]],
                    }
                    for one in np.argsort(-sizes, kind="stable")[:LARGEST]
                    if sizes[one] > 1
                ],
            },
            "leakage": {
                "groups_across_splits": int((np.bincount(spread[:, 0]) > 1).sum()) if len(spread) else 0,
                "groups_across_corpora": self._shared(corpora),
                "published_split_to_split": [
                    {"corpus": name, "published": before, "split": after, "records": number}
                    for (name, before, after), number in sorted(self.moved.items())
                ],
                "sentences": self._sentences(),
            },
        }

    def _shared(self, corpora: Any) -> list[dict[str, Any]]:
        """How many groups two corpora have in common."""
        several = np.flatnonzero(np.bincount(corpora[:, 0].astype(np.int64)) > 1)
        several_rows = corpora[np.isin(corpora[:, 0], several)]
        pairs: Counter[tuple[int, int]] = Counter()
        for members in np.split(several_rows[:, 1], np.flatnonzero(np.diff(several_rows[:, 0])) + 1):
            pairs.update(combinations(map(int, members), 2))
        return [
            {"corpora": [self.corpora[one], self.corpora[other]], "groups": number}
            for (one, other), number in pairs.most_common()
        ]

    def _sentences(self) -> dict[str, int]:
        """Distinct captions by others in test, and how many of these are in train, word for word."""
        train, test = (
            np.unique(np.concatenate(self.said[split])) if self.said[split] else np.empty(0, np.uint64)
            for split in (SPLITS.index("train"), SPLITS.index("test"))
        )
        return {"in_test": len(test), "in_train_too": len(np.intersect1d(train, test, assume_unique=True))}


def _page(report: dict[str, Any]) -> str:
    """The report for people."""
    leaks, within = report["leakage"], report["groups"]
    told = leaks["sentences"]
    kept_or_not = [
        (corpus, f"{each['items']:,}", _reasons(each["rejected"]), f"{each['records']:,}", _reasons(each["left_out"]),
         *(f"{each[split]:,}" for split in SPLITS))
        for corpus, each in report["funnel"].items()
    ]  # fmt: skip
    joined = [
        (corpus, ", ".join(f"{kind} {number:,}" for kind, number in sorted(by.items())))
        for corpus, by in within["joined_by"].items() if by
    ]  # fmt: skip
    moved = [
        (each["corpus"], each["published"], each["split"], f"{each['records']:,}")
        for each in leaks["published_split_to_split"]
    ]
    shared = [(*each["corpora"], f"{each['groups']:,}") for each in leaks["groups_across_corpora"]]
    return "\n".join(
        [
            "# Curation",
            "",
            f"**{leaks['groups_across_splits']} groups lie in more than one split.** "
            f"{within['count']:,} groups, {within['of_several']:,} of them of several records. "
            f"Of {told['in_test']:,} distinct sentences by others in test, {told['in_train_too']:,} are in train too, "
            "with other pictures.",
            "",
            *_table(("corpus", "items", "rejected", "records", "left out", *SPLITS), kept_or_not),
            "",
            "The lists of what is left out, with the reason of each: `excluded/`.",
            "",
            *_section("What joined records", ("corpus", "records by what joined them to others"), joined),
            *_section("Groups that corpora share", ("corpus", "corpus", "groups"), shared),
            *_section("Publishers' splits", ("corpus", "published", "here", "records"), moved),
            *_section(
                "Largest groups",
                ("records", "corpora"),
                [(f"{each['records']:,}", ", ".join(each["corpora"])) for each in within["largest"]],
            ),
        ]
    )


def _section(title: str, head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> list[str]:
    return [f"## {title}", "", *_table(head, rows), ""] if rows else []


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    lines = [head, tuple("---" for _ in head), *rows]
    return [f"| {' | '.join(' '.join(cell.replace('|', '/').split()) for cell in cells)} |" for cells in lines]


def _reasons(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {number:,}" for reason, number in sorted(counts.items())) or "-"


def _by_corpus(workspace: Workspace) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for shard in workspace.shards("curation"):
        found.setdefault(corpus_of(shard), []).append(shard)
    return found


def _of(workspace: Workspace) -> str:
    """What the report is of: the shards as they stand, what they were made from, and what was rejected before."""
    curated, harmonised = workspace.footers("curation"), workspace.footers("rgb")
    return digest(
        {
            "curation": {shard: [footer.fingerprint, footer.content] for shard, footer in curated.items()},
            "rgb": {shard: [footer.items, footer.refused] for shard, footer in harmonised.items()},
        }
    )


def _remove_others(workspace: Workspace, corpora: set[str]) -> None:
    """Remove the lists of corpora that are gone."""
    folder = workspace.path(EXCLUDED)
    for path in workspace.fs.ls(folder, detail=False):
        if str(path).rsplit("/", 1)[-1].removesuffix(".csv") not in corpora:
            workspace.fs.rm_file(path)
