"""Are drawn views told from real ones by numbers that no judge of a training looked at?

    python -m benchmarks.second_witness [SPEC]

The two-sample test of `benchmarks.translators` with other features: `lwir-small` was trained with a judge that sees
soft versions of those of `scores/c2st.py`, so that test is no independent witness of it.
"""

import json
import sys
import tempfile
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from benchmarks import machine
from benchmarks.translators import VISIBLE, thermal
from fusionrs_builder import config
from fusionrs_builder.translate.evaluate import evaluate_translator
from fusionrs_builder.translate.scores import c2st
from fusionrs_builder.workspace import Workspace

ORIENTATIONS = 12
LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24)
SCALES = (0.7, 1.4, 2.8, 5.6, 11.2)
LEVELS = (0.1, 0.3, 0.5, 0.7, 0.9)


def features(view: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Of a view of mean 0 and spread 1, uint8 [H, W] -> float64 [N].

    Shares of gradient by orientation; autocorrelation along rows, columns and the diagonal; spread, skewness, kurtosis
    and extreme of differences of Gaussians; parts and edges of what lies above quantiles; quantiles of the gradient.
    """
    x = (view - view.mean()) / (view.std() + 1e-6)
    down, along = ndimage.sobel(x, 0), ndimage.sobel(x, 1)
    size, angle = np.hypot(along, down), (np.arctan2(down, along) % np.pi) / np.pi
    bins = np.minimum((angle * ORIENTATIONS).astype(int), ORIENTATIONS - 1)
    found = list(np.bincount(bins.ravel(), size.ravel(), ORIENTATIONS) / size.sum())
    for lag in LAGS:
        pairs = ((x[lag:], x[:-lag]), (x[:, lag:], x[:, :-lag]), (x[lag:, lag:], x[:-lag, :-lag]))
        found += [(a * b).mean() for a, b in pairs]
    for scale in SCALES:
        band = ndimage.gaussian_filter(x, scale) - ndimage.gaussian_filter(x, 2 * scale)
        spread = band.std() + 1e-9
        found += [
            np.log(spread),
            (band**3).mean() / spread**3,
            (band**4).mean() / spread**4,
            np.abs(band).max() / spread,
        ]
    for level in LEVELS:
        above = (x > np.quantile(x, level)).astype(int)
        edges = [np.abs(np.diff(above, axis=axis)).mean() for axis in (0, 1)]
        found += [np.log(ndimage.label(above)[1] + 1), *edges]
    found += list(np.quantile(size / (size.mean() + 1e-9), [0.05, 0.25, 0.5, 0.75, 0.95, 0.99]))
    return np.array(found)


def main(spec: str = "lwir-small") -> None:
    """Measure, print and save."""
    samples = config.samples_folder()
    if samples is None:
        sys.exit("the sample corpora are not at hand: name their folder by FUSIONRS_SAMPLES")
    with tempfile.TemporaryDirectory() as place, patch.object(c2st, "features", features):
        workspace = thermal(samples, Workspace.open(Path(place) / "thermal", create=True))
        found = evaluate_translator(workspace, spec, band="lwir", keys=f"^({'|'.join(VISIBLE)})/", device="cpu")
    told = {name: scores["c2st"] for name, scores in found["unpaired"]["scores"].items()}
    result = {
        "source": found["source"],
        "n": found["unpaired"]["n"],
        "told apart": told,
        "machine": machine.facts("cpu"),
    }
    print(json.dumps(result, indent=1))
    print(machine.save("second_witness", result), file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
