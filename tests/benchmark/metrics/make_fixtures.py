"""Makes the fixtures of the caption metrics with the tools themselves: pycocoevalcap 1.2, and the Java programs that it
ships, Stanford's PTBTokenizer 3.4.1 and METEOR 1.5. It is run by hand, once, with Java 8 to 17:

    pip install pycocoevalcap==1.2
    python -m tests.benchmark.metrics.make_fixtures

`random.json.gz` holds 1,000 images of one to five references, of words by chance with all that captions are decorated
with. `written.json.gz` holds 200 images of five references: 100 sample images captioned by the grounded writer, and
100 draws from what was written by hand, of a few scenes, in the tests of the checks of captions.
"""

import gzip
import json
import os
import random
import string
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.translators import folder
from fusionrs_builder import config, pipeline, pixels
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Writer
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.workspace import Workspace
from tests.caption.claims import free_captions, lot_captions, model_captions, scene_captions

FIXTURES = Path(__file__).parent / "fixtures"

Sets = list[list[str]]
"""For each image its candidate, then its references."""

COMMON, ABROAD, SIGNS, WHOLE = map(
    str.split,
    (
        "a the of in on with and is are two three near to by at there it not bright dark green grey car cars truck "
        "building harbour ship tennis court storage tank runway aircraft tree trees road river field bridge people "
        "roof shadow water image view infrared left right top bottom corner centre",
        "café naïve Zürich São Île œuvre straße Ærø Łódź привет река μέγα 日本 港 한국 jalapeño",
        "° ² ³ µm ± × – — € £ ½ ′ ″ … • → 🚀 🌳 ≈ ≤ − % & + = / * # @ $ ~ | < > ^ _",
        "U.S. e.g. i.e. etc. a.m. p.m. St. Dr. approx. sq. ft. vs. U.S.A. cannot gonna can't won't o'clock 'tis N/A "
        "w/o AT&T R&D RGB+IR RGB/IR Sentinel-2 Landsat-8 http://example.com/a www.example.com foo@bar.com :) :-( ... "
        "-- ?! !! C++ &amp; <b> x-ray L-shaped image.jpg B8A 1960s",
    ),
)
ENDINGS = ["'s", "'", "n't", "'ll", "'re", "'ve", "'d", "’s", "n’t"]
PAIRS = ["()", "[]", "{}", '""', "''", "“”", "‘’", "«»", "<>"]


class Chance:
    """Captions by chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def word(self) -> str:
        draw = self.random
        made = "".join(draw.choices(string.ascii_lowercase, k=draw.randint(1, 9)))
        word = draw.choices([draw.choice(COMMON), made, draw.choice(ABROAD)], [8, 2, 1])[0]
        return draw.choices([word, word.capitalize(), word.upper()], [8, 2, 1])[0]

    def number(self) -> str:
        draw = self.random
        n = draw.randint(0, 10 ** draw.randint(1, 5))
        return draw.choice([
            f"{n}", f"{n:,}", f"{n / 10}", f"-{n}", f"+{n}", f"{n}%", f"{n}st", f"{n}m", f"{n / 10}m", f"{n} m.",
            f"{n}-{n + 3}", f"{n}–{n + 3}", f"{n}x{n}", f"{n}×{n}", f"{n}/{n + 1}", f"{n % 24}:{10 + n % 50}", f"{n}½",
            f"${n}", f"€{n}", f"{n}°C", f"{n}km/h", f"'{n % 100:02d}", f"{n}-{self.word()}", f"#{n}", f"~{n}", f"{n}m²",
            f"{n % 9} 1/{2 + n % 8}", f"20{n % 100:02d}-0{1 + n % 9}-1{n % 10}", f"no. {n}", f"{n}.{n}.{n}", f"1:{n:,}",
        ])  # fmt: skip

    def piece(self) -> str:
        draw, word = self.random, self.word()
        kinds = {
            word: 60,
            self.number(): 10,
            "-".join([word, *(self.word() for _ in range(draw.randint(1, 3)))]): 8,
            word + draw.choice(ENDINGS): 6,
            f"{word}/{self.word()}": 4,
            draw.choice(WHOLE): 4,
            draw.choice(SIGNS): 3,
            word + draw.choice([*SIGNS, *".,:;!?"]) + self.word(): 3,
        }
        piece = draw.choices(list(kinds), list(kinds.values()))[0]
        if draw.random() < 0.05 and piece[0].isalnum():
            piece = piece.join(draw.choice(PAIRS))
        return piece + draw.choices(["", ".", ",", ";", ":", "!", "?", "...", ".)", "…"], [80, 5, 5, *[1] * 7])[0]

    def captions(self) -> list[str]:
        """A candidate and references that share about half of their pieces, some of them empty."""
        draw = self.random
        pieces = [self.piece() for _ in range(draw.randint(1, 14))]
        return [
            " ".join(
                piece if draw.random() < 0.6 else self.piece()
                for piece in pieces
                if draw.random() < 0.9 and empty > 0.01
            )
            for empty in (draw.random() for _ in range(draw.randint(2, 6)))
        ]


def grounded(wanted: int) -> Iterator[list[str]]:
    """Captions of images of the sample corpora by six writers of other seeds; every other time of the infrared view."""
    samples = config.samples_folder()
    assert samples is not None, "name the folder of the sample corpora by FUSIONRS_SAMPLES"
    writers = [Writer(seed) for seed in range(6)]
    corpora = ("hit-uav", "eurosat-rgb-small", "oam-buildings")
    with tempfile.TemporaryDirectory() as place:
        rows = []
        for name in corpora:
            workspace = Workspace.open(Path(place) / name, create=True)
            pipeline.download(workspace, name, from_=folder(samples, name), run=Run(1))
            pipeline.translate(workspace, translator="gray", run=Run(1))
            found = [
                row
                for shard in workspace.shards("ir")
                for row in workspace.zip(shard, {"rgb": None, "ir": None})
                if row["ir"]
            ]
            rows += found[:: max(len(found) * len(corpora) // wanted, 1)]
        for number, row in enumerate(rows[:: max(len(rows) // wanted, 1)][:wanted]):
            record = Record(
                id=row["id"],
                labels=row["labels"] or (),
                boxes=row["boxes"] or (),
                gsd_m=row["gsd_m"],
                origin=row["ir_origin"],
                band=row["ir_band"],
            )
            rgb = None if row["rgb"] is None else pixels.rgb_array(row["rgb"]["bytes"])
            written = [writer.write(record, rgb, pixels.gray_array(row["ir"]["bytes"])) for writer in writers]
            yield [(captions.ir if number % 2 else captions.scene)[0] for captions in written]


def by_hand(wanted: int) -> Iterator[list[str]]:
    """Six different captions of one scene each."""
    scenes = [
        free_captions.STREET_TRUE + model_captions.STREET_TRUE,
        free_captions.THERMAL_TRUE + model_captions.THERMAL_TRUE,
        scene_captions.HARBOUR_TRUE + model_captions.HARBOUR_TRUE,
        lot_captions.LOT_TRUE + lot_captions.LOT_TRUE_LATER,
        lot_captions.STREET_TRUE + lot_captions.STREET_TRUE_LATER,
        [caption for fitting, _ in scene_captions.CLASSES.values() for caption in fitting],
    ]
    draw = random.Random(2)
    for number in range(wanted):
        yield draw.sample(scenes[number % len(scenes)], 6)


def scored(sets: Sets) -> dict[str, Any]:
    """What the tools make of captions: tokens, and scores of each image and of all."""
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.cider.cider import Cider
    from pycocoevalcap.meteor import meteor
    from pycocoevalcap.rouge.rouge import Rouge
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

    os.environ["JAVA_TOOL_OPTIONS"] = "-Dfile.encoding=UTF-8"
    flat = [caption for captions in sets for caption in captions]
    # The tokenizer looks past the end of a line: `200 m.` before a line that begins with `The` is no abbreviation.
    lines = {place: [{"caption": text}, {"caption": "end"}] for place, text in enumerate(flat)}
    known = PTBTokenizer().tokenize(lines)
    assert all(end == "end" for _, end in known.values()), "the tokenizer lost a line"
    split = iter(known[place][0] for place in range(len(flat)))
    tokens = [[next(split) for _ in captions] for captions in sets]
    references = {image: captions[1:] for image, captions in enumerate(tokens)}
    candidates = {image: captions[:1] for image, captions in enumerate(tokens)}
    scores, corpus = {}, {}
    bleu, bleu_images = Bleu(4).compute_score(references, candidates, verbose=0)
    for order in range(4):
        scores[f"BLEU-{order + 1}"], corpus[f"BLEU-{order + 1}"] = bleu_images[order], bleu[order]
    corpus["ROUGE-L"], scores["ROUGE-L"] = Rouge().compute_score(references, candidates)
    corpus["CIDEr-D"], scores["CIDEr-D"] = Cider().compute_score(references, candidates)
    jar = Path(meteor.__file__).parent / meteor.METEOR_JAR
    corpus["METEOR-exact"], scores["METEOR-exact"] = meteor_exact(jar, tokens)
    return {
        "captions": sets,
        "tokens": tokens,
        "images": {name: [round(float(value), 8) for value in values] for name, values in scores.items()},
        "corpus": {name: round(float(value), 8) for name, value in corpus.items()},
    }


def meteor_exact(jar: Path, tokens: Sets) -> tuple[float, list[float]]:
    """METEOR 1.5 with its first stage only, of words as they are."""
    command = ["java", "-Xmx1G", "-jar", str(jar), "-", "-", "-stdio", "-l", "en", "-m", "exact"]

    def told(lines: list[str]) -> list[str]:
        answer = subprocess.run(command, input="\n".join(lines) + "\n", capture_output=True, text=True, check=True)
        return answer.stdout.splitlines()

    plain = [[" ".join(caption.split()) for caption in captions] for captions in tokens]
    counts = told([" ||| ".join(["SCORE", *references, candidate]) for candidate, *references in plain])
    *images, corpus = map(float, told([" ||| ".join(["EVAL", *counts])]))
    return corpus, images


def main() -> None:
    chance = Chance(1)
    made = {
        "random": [chance.captions() for _ in range(1000)],
        "written": [*grounded(100), *by_hand(100)],
    }
    FIXTURES.mkdir(exist_ok=True)
    for name, sets in made.items():
        text = json.dumps(scored(sets), ensure_ascii=False, separators=(",", ":"))
        path = FIXTURES / f"{name}.json.gz"
        path.write_bytes(gzip.compress(text.encode(), 9, mtime=0))
        print(f"{path.name}: {len(sets)} images, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
