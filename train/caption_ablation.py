"""What the infrared view adds to the visible one in captions: a small captioner with each alone and with both.

    python -m train.caption_ablation --data demo/release/fusionrs --out runs/captions

Everything that `python -m train.captioner` takes may be given; each run lies in `out/SHOWS/SEED`, and what stands is
not trained again. `captions.md` and `captions.json` hold CIDEr-D and its differences, image by image.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d, document_frequencies
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.models import predictions
from fusionrs_builder.benchmark.records import FEWEST, Record, Records
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.intervals import Estimate, Score, average, compare
from fusionrs_builder.release.load import load_split
from train import captioner, captioner_data
from train import settings as toml
from train.captioner import PREDICTIONS, asked
from train.captioner_data import SHOWN

METRIC = "CIDEr-D"


@dataclass(frozen=True)
class Settings(captioner_data.Settings):
    """Of a comparison; whatever `shows` says, all three are trained.

    Attributes:
        seeds: trainings of each, of `seed` and the next ones
    """

    seeds: int = 3


def ablate(settings: Settings) -> dict[str, Path]:
    """Train what is missing, compare all; returns the files.

    Raises:
        UsageError: a setting is wrong, or a run that stands has others.
        FusionError: as `captioner.train`; or no record that is captioned has both views.
    """
    if settings.seeds < 1 or settings.target != "ir":
        raise UsageError("give --seeds of 1 or more, and --target ir: captions of infrared views are what is scored")
    records = Records(load_split(settings.data, settings.split), Path(settings.data).resolve().name, settings.split)
    said: dict[str, list[dict[str, str]]] = {shows: [] for shows in SHOWN}
    for seed in range(settings.seed, settings.seed + settings.seeds):
        for shows in SHOWN:
            place = Path(settings.out) / shows / str(seed)
            one = replace(toml.part(captioner_data.Settings, settings), shows=shows, seed=seed, out=str(place))
            captioner.train(one)
            path = place / PREDICTIONS
            said[shows].append({id: one.text for id, one in predictions.read(path, path.read_bytes()).items()})
    return write(settings, compared(records, said, settings.seed), records.sha256)


def compared(records: Records, said: Mapping[str, Sequence[Mapping[str, str]]], seed: int) -> dict[str, Any]:
    """CIDEr-D of several contestants, and the first less each other one, on the records that have both views.

    Args:
        records: that were captioned.
        said: contestant -> of each of its trainings, id -> caption; a contestant scores the mean of its trainings.
        seed: of the bootstrap, over images.

    Returns:
        As `intervals.compare`: over all, and over those of either origin, weighed by the n-grams of all; `by_seed`, the
        differences of each pair of trainings; and their `n`.

    Raises:
        FusionError: fewer than `FEWEST` records have both views.
    """
    both: list[Record] = [records[place] for place in asked(records) if records[place].rgb_sha256]
    if len(both) < FEWEST:
        raise FusionError(
            f"{records.dataset}: {len(both)} captioned records of {records.split} have both views, too few"
        )
    parts = {METRIC: both}
    for origin in ("measured", "translated"):
        of = [record for record in both if record.ir_origin == origin]
        if len(of) >= FEWEST:
            parts[f"{METRIC}, {origin}"] = of
    truth = {record.id: [tokenise(text) for text in record.ir_captions] for record in both}

    def score(known: Mapping[str, str]) -> dict[str, Estimate]:
        paired = {
            what: Captions(
                {record.id: tokenise(known[record.id]) for record in part},
                {record.id: truth[record.id] for record in part},
            )
            for what, part in parts.items()
        }
        weights = document_frequencies(paired[METRIC])
        return {what: cider_d(part, weights).estimate(seed) for what, part in paired.items()}

    each = {name: [score(known) for known in trainings] for name, trainings in said.items()}
    means = {name: {what: average([one[what] for one in scores]) for what in parts} for name, scores in each.items()}
    subject, *controls = each
    seeds = {
        control: {
            what: [(ours[what] - theirs[what]).value for ours, theirs in zip(each[subject], each[control], strict=True)]
            for what in parts
        }
        for control in controls
    }
    return compare(means) | {"by_seed": seeds, "n": {what: len(part) for what, part in parts.items()}}


def write(settings: Settings, found: Mapping[str, Any], sha256: str) -> dict[str, Path]:
    """The table, and the numbers in it."""
    lines = [
        f"# Captions of infrared views: {Path(settings.data).resolve().name}, {settings.steps} steps of "
        f"{settings.batch_size}",
        f"CIDEr-D on {settings.split} (sha256 {sha256[:12]}), the mean of {settings.seeds} trainings, with 95 % "
        "intervals over images; of differences, in brackets the lowest and highest of the trainings'.",
        "",
        f"| shown | {' | '.join(f'{what} (n = {n})' for what, n in found['n'].items())} |",
        "|---|" + "---:|" * len(found["n"]),
    ]
    lines += [
        f"| {name} | {' | '.join(str(Score(**score)) for score in of.values())} |"
        for name, of in found["scores"].items()
    ]
    for name, of in found["differences"].items():
        seeds = found["by_seed"][name]
        cells = [f"{Score(**score)} [{min(seeds[what]):.2f}, {max(seeds[what]):.2f}]" for what, score in of.items()]
        lines.append(f"| {next(iter(SHOWN))} less {name} | {' | '.join(cells)} |")
    files, names = Files(settings.out), ("captions.md", "captions.json")
    files.write_bytes(names[0], ("\n".join(lines) + "\n").encode())
    files.write_json(names[1], {"split_sha256": sha256, "seeds": settings.seeds, **found})
    return {name: Path(settings.out) / name for name in names}


def main(argv: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    try:
        about = "Train a captioner on either view alone and on both, and compare."
        files = ablate(toml.parse(Settings, "python -m train.caption_ablation", about, argv))
    except FusionError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(files["captions.md"].read_text(encoding="utf-8"))
    print(json.dumps({name: str(path) for name, path in files.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
