"""How many captions a second the caption metrics read, beside pycocoevalcap where it is installed, in one process.

The captions are those of the written fixture of the tests, each image told many times with other words left out: five
references an image. The peer is given the words as they are split here, so that its Java tokenizer is not timed; its
METEOR is a Java program too and is left out.

    python -m benchmarks.caption_metrics [--images 5000]
"""

import argparse
import importlib.util
import random
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import machine
from fusionrs_builder.benchmark.metrics.bleu import bleu
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d
from fusionrs_builder.benchmark.metrics.meteor import meteor_exact
from fusionrs_builder.benchmark.metrics.rouge import rouge_l
from fusionrs_builder.benchmark.metrics.scores import Scores
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from tests.benchmark.metrics.captioned import fixture

KEPT = 0.9
"""Share of the words of a caption that are kept."""

METRICS: dict[str, Callable[[Captions], Scores | tuple[Scores, ...]]] = {
    "BLEU-1..4": bleu,
    "ROUGE-L": rouge_l,
    "CIDEr-D": cider_d,
    "METEOR-exact": meteor_exact,
}


def told(images: int) -> list[list[str]]:
    """For each image a candidate and five references."""
    written, draw = fixture("written")["captions"], random.Random(0)
    return [
        [
            " ".join(word for word in caption.split() if draw.random() < KEPT)
            for caption in written[image % len(written)]
        ]
        for image in range(images)
    ]


def timed(act: Callable[[], Any]) -> tuple[Any, float]:
    """What it returns, and the seconds of processor it took."""
    start = time.process_time()
    result = act()
    return result, time.process_time() - start


def ours(captions: list[list[str]]) -> tuple[dict[str, float], dict[str, Any], Captions]:
    """Seconds of each step, scores of each metric, and the captions as they were split."""
    seconds = {}
    split, seconds["splitting"] = timed(lambda: [[tokenise(caption) for caption in each] for each in captions])
    paired = Captions(
        {str(image): each[0] for image, each in enumerate(split)},
        {str(image): each[1:] for image, each in enumerate(split)},
    )
    _, seconds["n-grams"] = timed(lambda: paired.ngrams)
    scores = {}
    for name, metric in METRICS.items():
        scores[name], seconds[name] = timed(lambda metric=metric: metric(paired))
    return seconds, scores, paired


def peer(captions: Captions) -> tuple[dict[str, float], dict[str, Any]]:
    """Seconds and scores an image of pycocoevalcap."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.rouge.rouge import Rouge

    references = dict(zip(captions.ids, captions.references, strict=True))
    candidates = {image: [caption] for image, caption in zip(captions.ids, captions.candidates, strict=True)}
    seconds, scores = {}, {}
    for name, act in {
        "BLEU-1..4": lambda: Bleu(4).compute_score(references, candidates, verbose=0),
        "ROUGE-L": lambda: Rouge().compute_score(references, candidates),
        "CIDEr-D": lambda: Cider().compute_score(references, candidates),
    }.items():
        (_, scores[name]), seconds[name] = timed(act)
    return seconds, scores


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=5000)
    images = parser.parse_args(arguments).images
    captions = told(images)
    seconds, scores, split = ours(captions)
    scoring = sum(taken for step, taken in seconds.items() if step != "splitting")
    result: dict[str, Any] = {
        "images": images,
        "captions": sum(map(len, captions)),
        "microseconds an image": {step: round(1e6 * taken / images, 1) for step, taken in seconds.items()},
        "images a second, scored": round(images / scoring),
        "images a second, split and scored": round(images / sum(seconds.values())),
        "captions a second, split and scored": round(sum(map(len, captions)) / sum(seconds.values())),
    }
    if importlib.util.find_spec("pycocoevalcap"):
        theirs, expected = peer(split)
        here = [np.array([each.images for each in scores["BLEU-1..4"]])]
        here += [scores[name].images for name in ("ROUGE-L", "CIDEr-D")]
        result["pycocoevalcap"] = {
            "microseconds an image": {step: round(1e6 * taken / images, 1) for step, taken in theirs.items()},
            "largest difference": {
                name: float(np.abs(mine - np.array(expected[name])).max())
                for name, mine in zip(theirs, here, strict=True)
            },
        }
    else:
        print("pycocoevalcap is not installed: `pip install pycocoevalcap` to measure it too", file=sys.stderr)
    their = result.get("pycocoevalcap", {}).get("microseconds an image", {})
    print(f"{images} images of 5 references; microseconds an image")
    print(f"{'':14} {'here':>8} {'pycocoevalcap':>14}")
    for step, taken in result["microseconds an image"].items():
        print(f"{step:14} {taken:8} {their.get(step, '-'):>14}")
    for rate in [key for key in result if key.endswith("scored") or "a second" in key]:
        print(f"{rate}: {result[rate]:,}")
    result["machine"] = machine.facts("cpu")
    print(machine.save("caption_metrics", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
