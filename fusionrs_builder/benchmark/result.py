"""One result: a model's numbers on one protocol, with all that is needed to trust and to compare them."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.intervals import Estimate

FORMAT = 1
"""Of the files; raised when a key changes its name or meaning."""

LONGEST = 40
"""Characters of a part of a file name."""


@dataclass(frozen=True)
class Result:
    """What was measured. All of it goes into one JSON file, in the shape of a row of CLIP_benchmark and more.

    Attributes:
        task: `zeroshot_retrieval`, `zeroshot_classification` (the words of CLIP_benchmark), `presence`, `linear_probe`,
            `captioning`, `vqa`.
        protocol: name and version of the definition in docs/benchmark.md, such as `fusionrs-rc4@1`.
        dataset: name of the release; with the corpus where only one was measured on, such as `fusionrs/hit-uav`.
        model, pretrained: of the model, see `models.model`.
        inputs: what the model was shown as infrared, see `records.Inputs`; `rgb` where it saw the visible image alone,
            `pair` where it saw both.
        origin: of the infrared views, `measured` or `translated`; `-` where none was shown.
        band: of the infrared views; several joined by `+`; `-` where none was shown.
        headline: the metric that stands for the result.
        estimates: of each metric, see `intervals`; between 0 and 1 unless docs/benchmark.md says otherwise.
        counts: images, `failed`, what else was counted. What failed is part of every denominator.
        places: of the records that it is about, in the split.
        detail: more of it, JSON values only.
    """

    task: str
    protocol: str
    dataset: str
    model: str
    pretrained: str
    inputs: str
    origin: str
    band: str
    headline: str
    estimates: Mapping[str, Estimate]
    counts: Mapping[str, int]
    places: Sequence[int]
    detail: Mapping[str, Any] = field(default_factory=dict)

    def as_dict(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """JSON values.

        Args:
            facts: what all results of a run share: `split`, `split_sha256`, `seed`, `versions`, `device` ...
        """
        scores = {name: found.score for name, found in self.estimates.items()}
        main = self.estimates[self.headline]
        return {
            "format": FORMAT,
            "dataset": self.dataset,
            "model": self.model,
            "pretrained": self.pretrained,
            "task": self.task,
            "language": "en",
            "metrics": {name: score.mean for name, score in scores.items()},
            "intervals": {name: [score.low, score.high] for name, score in scores.items()},
            "headline": self.headline,
            "n": main.n,
            "protocol": self.protocol,
            "inputs": self.inputs,
            "origin": self.origin,
            "band": self.band,
            "counts": dict(self.counts),
            "detail": dict(self.detail),
            **facts,
            "resampled": [None if np.isnan(value) else round(float(value), 7) for value in main.resampled],
        }


MEASUREMENT = (
    "task", "protocol", "dataset", "split", "split_sha256", "seed", "origin", "band", "model", "pretrained", "inputs",
)  # fmt: skip
"""Keys that tell what was measured: two results that agree in all of them are one measurement."""


def file_name(saved: Mapping[str, Any]) -> str:
    """Of a result: in words, as far as a file name holds them, and by a hash of `MEASUREMENT`."""
    shown = (saved[key] for key in ("protocol", "dataset", "origin", "model", "inputs"))
    words = "--".join(re.sub(r"[^A-Za-z0-9.@+]+", "-", text).strip("-")[:LONGEST] or "none" for text in shown)
    what = json.dumps([saved[key] for key in MEASUREMENT])
    return f"{words}--{hashlib.sha256(what.encode()).hexdigest()[:10]}.json"


def save(folder: Path, saved: Mapping[str, Any]) -> Path:
    """Write one result, whole or not at all; the same measurement again takes its place. Returns its file.

    Args:
        folder: of the results.
        saved: see `Result.as_dict`.
    """
    text = json.dumps({key: saved[key] for key in saved if key != "resampled"}, indent=1, ensure_ascii=False)
    resampled = json.dumps(saved["resampled"])  # on one line: nobody reads these 2,000 numbers
    path = folder / file_name(saved)
    whole = text.removesuffix("\n}") + f',\n "resampled": {resampled}\n}}\n'
    Files(str(folder)).write_bytes(path.name, whole.encode())
    return path


def read(path: Path) -> dict[str, Any]:
    """A result as it was saved.

    Raises:
        FusionError: the file is damaged or no result.
        UsageError: a newer version wrote it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        version = int(found["format"])
        estimate(found)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FusionError(
            f"{path} is no result of `fusionrs-build benchmark` ({type(error).__name__}: {error})"
        ) from None
    if version > FORMAT:
        raise UsageError(f"{path} was written by a newer fusionrs-builder: update this one")
    return dict(found)


def estimate(saved: Mapping[str, Any]) -> Estimate:
    """The headline of a saved result: what differences are made of."""
    resampled = np.array([np.nan if value is None else value for value in saved["resampled"]], np.float64)
    return Estimate(float(saved["metrics"][saved["headline"]]), resampled, int(saved["n"]))
