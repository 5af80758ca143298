"""What infrared and its captions are worth: the same training with one thing changed, several seeds each, one table.

    python -m train.ablation --data demo/release/fusionrs --arch train/configs/tiny-64.json --out runs/ablation

Everything that `python -m train.clip` takes may be given; each run lies in `out/ROW/SEED`, and what stands is not
trained again. Measured is by the retrieval protocols of the benchmark, measured and translated infrared apart.
"""

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fusionrs_builder import devices
from fusionrs_builder.benchmark.encoding import Encoded
from fusionrs_builder.benchmark.models import specs
from fusionrs_builder.benchmark.models.trained import MODEL
from fusionrs_builder.benchmark.records import FEWEST, Records
from fusionrs_builder.benchmark.result import Result
from fusionrs_builder.benchmark.tasks.retrieval import retrieval
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.intervals import Estimate, average
from fusionrs_builder.release.load import load_split
from train import clip, recipe, standing
from train import settings as toml
from train.columns import rows_sha256
from train.training import SPLIT

ALIKE: Mapping[str, Any] = {
    "infrared": "infrared", "captions": "ir", "rgb_text": 1.0, "ir_text": 1.0, "rgb_ir": 1.0, "fused_text": 0.0,
    "pairs": True,
}  # fmt: skip
"""Of all rows; all learn from the same records."""

ORIGINS = ("measured", "translated")

ROWS: Mapping[str, Mapping[str, Any]] = {
    "rgb-only": {"ir_text": 0.0, "rgb_ir": 0.0},
    "rgb-duplicate": {"infrared": "duplicate"},
    "rgb-gray": {"infrared": "gray"},
    "ir-scene-captions": {"captions": "scene"},
    "ir-ir-captions": {},
    "ir-mixed-captions": {"captions": "mixed"},
    "without-rgb-ir": {"rgb_ir": 0.0},
}
"""What is changed in each; of all else nothing."""

CLAIMS = (
    ("ir-ir-captions", "ir-scene-captions", "ir-captions@1", "ir->text R@10"),
    ("ir-ir-captions", "ir-scene-captions", "fusionrs-rc4@1", "ir->text R@10"),
    ("ir-ir-captions", "rgb-only", "fusionrs-rc4@1", "Mean R"),
    ("ir-ir-captions", "rgb-duplicate", "fusionrs-rc4@1", "Mean R"),
    ("ir-ir-captions", "rgb-gray", "fusionrs-rc4@1", "Mean R"),
    ("ir-ir-captions", "without-rgb-ir", "fusionrs-rc4@1", "Mean R"),
    ("ir-mixed-captions", "ir-ir-captions", "fusionrs-rc4@1", "Mean R"),
)
"""First row, less second row, by protocol and metric: what the paper holds, or should hold. Each kind of captions is at
home in a protocol of its own, so the two are compared in both."""


@dataclass(frozen=True)
class Settings(recipe.Settings):
    """Of an ablation.

    Attributes:
        seeds: trainings of each row, of `seed` and the next ones
        split: that is measured on
    """

    seeds: int = 3
    split: str = "test"


class Row:
    """What a row scores.

    Attributes:
        scores: (protocol, origin) -> metric -> the mean over seeds, resampled by image.
    """

    def __init__(self, runs: Sequence[Mapping[tuple[str, str], Result]]) -> None:
        self._runs = runs
        self.scores: dict[tuple[str, str], dict[str, Estimate]] = {
            key: {metric: average([run[key].estimates[metric] for run in runs]) for metric in one.estimates}
            for key, one in runs[0].items()
        }

    def seeds(self, key: tuple[str, str], metric: str = "Mean R") -> list[float]:
        """A metric of each seed."""
        return [run[key].estimates[metric].value for run in self._runs]


def ablate(settings: Settings) -> dict[str, Path]:
    """Train what is missing, measure all, write `ablation.md`, `ablation.json` and `ablation.png`; returns them.

    Raises:
        UsageError: a setting is wrong, or a run that stands has others.
        FusionError: as `train.clip`.
    """
    if settings.seeds < 1 or not settings.out:
        raise UsageError("give --seeds of 1 or more, and the folder of the runs by --out")
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UsageError(
            "an ablation is one process: train its runs by `torchrun ... -m train.clip`, then run it alone"
        )
    records = Records(load_split(settings.data, settings.split), Path(settings.data).name, settings.split)
    pairs = [one for one in records if one.rgb_sha256 and one.ir_sha256]
    if max(sum(one.ir_origin == origin for one in pairs) for origin in ORIGINS) < FEWEST:
        raise FusionError(f"{settings.data}:{settings.split} holds too few images with infrared: name another --split")
    learnt = rows_sha256(load_split(settings.data, SPLIT))
    out, found = Path(settings.out), {}
    for name, change in ROWS.items():
        runs = []
        for seed in range(settings.seed, settings.seed + settings.seeds):
            place = out / name / str(seed)
            one = replace(toml.part(recipe.Settings, settings), **{**ALIKE, **change}, out=str(place), seed=seed)
            if (place / MODEL).is_dir():
                standing.check(one, clip.sources_of(one, learnt), recipe.MAY_DIFFER)
            else:
                clip.train(one)
            runs.append(measured(records, place, settings.device))
        found[name] = Row(runs)
    return write(out, found, settings, records)


def measured(records: Records, run: Path, device: str) -> dict[tuple[str, str], Result]:
    """The retrieval of a run on infrared, by (protocol, origin)."""
    chosen = str(devices.chosen(device))
    model = specs.embedding_model(f"train:{run}")
    found = retrieval(records, Encoded(model, records, None, chosen), ("infrared",), chosen)
    return {(one.protocol, one.origin): one for one in found if one.origin != "-"}


def write(out: Path, found: Mapping[str, Row], settings: Settings, records: Records) -> dict[str, Path]:
    """The tables, the differences, and a plot."""
    lines = [
        f"# Ablation: {records.dataset}, {settings.steps} steps of {settings.batch_size}, {settings.seeds} seeds",
        f"Retrieval on {settings.split} (sha256 {records.sha256[:12]}), in percent; means over seeds with 95 % "
        "intervals over images; in brackets lowest and highest seed.",
    ]
    facts: dict[str, Any] = {"split_sha256": records.sha256, "seeds": settings.seeds, "rows": {}, "differences": []}
    keys = list(dict.fromkeys(key for row in found.values() for key in row.scores))
    for protocol, origin in keys:
        n = next(row.scores[protocol, origin]["Mean R"].n for row in found.values())
        metrics = list(next(iter(found.values())).scores[protocol, origin])
        shown = [metric for metric in metrics if metric.endswith(("R@1", "ir->text R@10"))]
        lines += [f"## {protocol}, {origin} infrared, n = {n}", "", f"| row | Mean R | {' | '.join(shown)} |"]
        lines += ["|---|" + "---:|" * (1 + len(shown))]
        for name, row in found.items():
            scores, each = row.scores[protocol, origin], row.seeds((protocol, origin))
            cells = [f"{_shown(scores['Mean R'])} [{100 * min(each):.1f}, {100 * max(each):.1f}]"]
            cells += [f"{100 * scores[metric].value:.1f}" for metric in shown]
            lines.append(f"| {name} | {' | '.join(cells)} |")
            of = facts["rows"].setdefault(name, {}).setdefault(f"{protocol} {origin}", {"n": n, "seeds": each})
            of |= {metric: _facts(score) for metric, score in scores.items()}
        lines.append("")
    lines += [
        "## Differences on the same images",
        "",
        "Clear: the interval excludes 0, and all seeds agree; in brackets the lowest and highest seed.",
        "",
        "| row | less | of | difference | clear |",
        "|---|---|---|---:|---|",
    ]
    for first, second, protocol, metric in CLAIMS:
        for key in ((protocol, origin) for origin in ORIGINS):
            if key not in keys:
                continue
            ours, theirs = found[first], found[second]
            difference = ours.scores[key][metric] - theirs.scores[key][metric]
            seeds = [a - b for a, b in zip(ours.seeds(key, metric), theirs.seeds(key, metric), strict=True)]
            score = difference.score
            clear = (score.low > 0 and min(seeds) > 0) or (score.high < 0 and max(seeds) < 0)
            cell = f"{_shown(difference, '+')} [{100 * min(seeds):+.1f}, {100 * max(seeds):+.1f}]"
            lines.append(f"| {first} | {second} | {metric}, {', '.join(key)} | {cell} | {'yes' if clear else 'no'} |")
            names = {"row": first, "less": second, "protocol": protocol, "origin": key[1], "metric": metric}
            facts["differences"].append({**names, **_facts(difference), "seeds": seeds, "clear": clear})
    files = Files(str(out))
    files.write_bytes("ablation.md", ("\n".join(lines) + "\n").encode())
    files.write_json("ablation.json", facts)
    _plot(out / "ablation.png", found, keys)
    return {name: out / name for name in ("ablation.md", "ablation.json", "ablation.png")}


def _shown(score: Estimate, sign: str = "") -> str:
    found = score.score
    return f"{100 * found.mean:{sign}.1f} ({100 * found.low:{sign}.1f} to {100 * found.high:{sign}.1f})"


def _facts(score: Estimate) -> dict[str, float]:
    found = score.score
    return {"value": found.mean, "low": found.low, "high": found.high}


def _plot(path: Path, found: Mapping[str, Row], keys: Sequence[tuple[str, str]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    protocols = list(dict.fromkeys(protocol for protocol, _ in keys))
    origins = [origin for origin in ORIGINS if any(key[1] == origin for key in keys)]
    size = (1.6 + 2.2 * len(protocols), 0.5 + 2.2 * len(origins))
    figure, axes = plt.subplots(len(origins), len(protocols), figsize=size, sharey=True, squeeze=False)
    for key in ((protocol, origin) for origin in origins for protocol in protocols):
        axis = axes[origins.index(key[1])][protocols.index(key[0])]
        if key not in keys:
            axis.set_visible(False)
            continue
        for place, row in enumerate(found.values()):
            score, seeds = row.scores[key]["Mean R"].score, [100 * value for value in row.seeds(key)]
            axis.plot([100 * score.low, 100 * score.high], [place, place], color="#0072b2")
            axis.plot(seeds, [place] * len(seeds), "o", color="#777777", ms=3)
            axis.plot([100 * score.mean], [place], "o", color="#0072b2")
        axis.set_title(f"{key[0]}, {key[1]}", fontsize=7)
        axis.set_yticks(range(len(found)), found.keys(), fontsize=8)
        axis.tick_params(axis="x", labelsize=7)
    for axis in axes[-1]:
        axis.set_xlabel("Mean R, %", fontsize=8)
    axes[0][0].invert_yaxis()
    figure.tight_layout()
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        about = "Train with one thing changed at a time, and measure what it is worth."
        files = ablate(toml.parse(Settings, "python -m train.ablation", about, argv))
    except FusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(json.dumps({name: str(path) for name, path in files.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
