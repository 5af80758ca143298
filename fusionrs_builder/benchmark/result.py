"""One result: a model's numbers on one protocol, with all that is needed to trust and to compare them."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.intervals import Estimate

FORMAT = 1
"""Of the files; raised when a key changes its name or meaning."""


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
        counts: records, queries, failures, what else was counted. Failures are part of every denominator.
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
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the file: the same measurement again takes its place."""
        parts = (
            self.task,
            self.protocol,
            self.dataset,
            self.model,
            self.pretrained,
            self.inputs,
            self.origin,
            self.band,
        )
        return "--".join(re.sub(r"[^\w.@+-]+", "_", part).strip("_") or "none" for part in parts)

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


def save(folder: Path, result: Result, facts: Mapping[str, Any]) -> Path:
    """Write one result, whole or not at all; returns its file."""
    saved = result.as_dict(facts)
    resampled = json.dumps(saved.pop("resampled"))  # on one line: nobody reads these 2,000 numbers
    text = json.dumps(saved, indent=1, ensure_ascii=False).removesuffix("\n}")
    path = folder / f"{result.name}.json"
    Files(str(folder)).write_bytes(path.name, f'{text},\n "resampled": {resampled}\n}}\n'.encode())
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
