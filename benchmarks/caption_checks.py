"""What the checks of written captions catch, and what they catch in vain, on records of the sample corpora.

1. False alarms: the share of records of which `claims.findings` says anything about the captions of the grounded
   writer, which are true by construction.
2. Faults planted in these captions, one caption of a record at a time, and the share of each kind that the check it
   belongs to names. Planting knows nothing of the parser: it replaces words by tables of its own, and plants only what
   pixels, tones of objects or boxes say is false.

`by any` counts every finding that the untouched captions do not have.

    python -m benchmarks.caption_checks [--records 120]
"""

import argparse
import itertools
import random
import re
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.caption_faults import KINDS, Captions, Fault, Plant, Sample, noun_forms, polarity
from benchmarks.translators import folder
from fusionrs_builder import config, pipeline, pixels
from fusionrs_builder.caption.appearance import look, luminance
from fusionrs_builder.caption.evidence import measure
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Writer
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.workspace import Workspace

CORPORA = {
    "hit-uav": None, "oam-buildings": None, "naip-opengeos": 256, "eurosat-rgb-small": None, "neon-trees": 200,
    "s2-ships": None, "landsat8-zion": 256,
}  # fmt: skip
"""Corpora and the sides of the tiles they are cut into: measured long-wave infrared with boxes, visible images with
outlines, measured near infrared without labels, classes of scenes, boxes of trees, ships."""


RESPONSES = {"brighter": "stronger", "darker": "weaker", "warmer": "stronger", "cooler": "weaker"}


def response(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A flipped `are brighter than` as `show a stronger response than`."""
    said = re.compile(rf"\b(?:is|are|appears?|looks?) ({'|'.join(RESPONSES)}) than\b")
    for view, number, text in polarity(sample, chance):
        changed = said.sub(lambda match: f"shows a {RESPONSES[match[1]]} response than", text)
        if changed != text and " side " not in text:
            yield view, number, changed


def denied(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """Things of which boxes show some, said not to be there."""
    drawn = {thing.placed.label for thing in sample.seen.things} if sample.seen else set()
    for label, (_, many) in noun_forms(sample.record).items():
        if label in drawn and not many.startswith("other "):
            for said in (f"No {many} are visible in this view.", f"This infrared view is devoid of {many}."):
                yield "ir", 0, said


def reading(sample: Sample, chance: random.Random) -> Iterator[Fault]:
    """A temperature in degrees or kelvin, in any view."""
    for view, number, text in sample.each():
        yield view, number, f"{text.rstrip('.')}, at {chance.choice(('35 °C', '95 F', '300 K', '-4° C', '21 deg'))}."


PLANTED: dict[str, tuple[Plant, str]] = {
    **KINDS,
    "flipped polarity, as responses": (response, "polarity"),
    "things denied": (denied, "counts"),
    "temperature read off": (reading, "forbidden_words"),
}


def samples(place: Path, wanted: int) -> Iterator[Sample]:
    """Records of each corpus, evenly spaced, captioned."""
    root = config.samples_folder()
    if root is None:
        sys.exit("the sample corpora are not at hand: name their folder by FUSIONRS_SAMPLES")
    writer = Writer(0)
    for name, tile in CORPORA.items():
        workspace = Workspace.open(place / name, create=True)
        pipeline.download(workspace, name, from_=folder(root, name), tile=tile, run=Run(1))
        pipeline.translate(workspace, translator="gray", run=Run(1))
        shards = workspace.shards("ir")
        rows = (row for shard in shards for row in workspace.zip(shard, {"rgb": None, "ir": None}) if row["ir"])
        step = max(sum(1 for shard in shards for _ in workspace.rows("ir", shard, ["id"])) // wanted, 1)
        yield from (sample(row, writer) for row in itertools.islice(rows, 0, wanted * step, step))


def sample(row: dict[str, Any], writer: Writer) -> Sample:
    rgb = None if row["rgb"] is None else pixels.rgb_array(row["rgb"]["bytes"])
    ir = pixels.gray_array(row["ir"]["bytes"])
    record = Record(
        id=row["id"],
        labels=row["labels"] or (),
        boxes=row["boxes"] or (),
        gsd_m=row["gsd_m"],
        origin=row["ir_origin"],
        band=row["ir_band"],
    )
    written = writer.write(record, rgb, ir)
    seen, appearance = measure(ir, rgb, record.boxes), None if rgb is None else look(rgb)
    luma = ir if rgb is None else luminance(rgb)
    captions = (list(written.scene), list(written.ir))
    return Sample(record, seen, appearance, captions, {"scene": luma, "ir": ir}, luma.shape[1])


def measured(found: list[Sample]) -> dict[str, Any]:
    """False alarms, recall of each kind of fault, and time."""
    alarms, times = [], []
    counts: dict[str, Counter[str]] = {kind: Counter() for kind in PLANTED}
    missed: dict[str, list[str]] = {kind: [] for kind in PLANTED}
    for one in found:
        started = time.perf_counter()
        clean = one.check(one.captions)
        times.append(time.perf_counter() - started)
        alarms += [f"{one.record.id}: {clean[0].caption} {clean[0].message}"] if clean else []
        known = {(finding.check, finding.message) for finding in clean}
        for kind, (plant, check) in PLANTED.items():
            chance = random.Random(f"{kind} {one.record.id}")
            faults = list(plant(one, chance))
            if not faults:
                continue
            view, number, text = chance.choice(faults)
            captions: Captions = (list(one.captions[0]), list(one.captions[1]))
            captions[view == "ir"][number] = text
            told = [finding for finding in one.check(captions) if (finding.check, finding.message) not in known]
            counts[kind]["planted"] += 1
            counts[kind]["found"] += any(finding.check == check for finding in told)
            counts[kind]["any"] += bool(told)
            if not any(finding.check == check for finding in told):
                missed[kind].append(f"{one.record.id}: {text}")
    origins = Counter(f"{one.record.origin} {one.record.band or ''}".strip() for one in found)
    return {
        "records": len(found),
        "by origin": dict(origins),
        "captions": sum(len(one.captions[0]) + len(one.captions[1]) for one in found),
        "false alarms": {"records": len(alarms), "share": round(len(alarms) / len(found), 4), "examples": alarms[:5]},
        "faults": {
            kind: {
                "planted": count["planted"],
                "found by its check": count["found"],
                "recall": round(count["found"] / count["planted"], 4),
                "found by any check": count["any"],
                "missed": missed[kind][:20],
            }
            for kind, count in counts.items()
            if count["planted"]
        },
        "milliseconds a record": {
            "median": round(1e3 * statistics.median(times), 2),
            "95th percentile": round(1e3 * statistics.quantiles(times, n=20)[-1], 2),
        },
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=120, help="of each corpus, at most")
    wanted = parser.parse_args(arguments).records
    with tempfile.TemporaryDirectory() as place:
        result = measured(list(samples(Path(place), wanted)))
    alarms = result["false alarms"]
    print(f"{result['records']} records, {result['captions']} captions, {alarms['records']} with a false alarm")
    print(f"{'fault':44} {'planted':>8} {'found':>6} {'recall':>7} {'by any':>7}")
    for kind, row in result["faults"].items():
        print(
            f"{kind:44} {row['planted']:8} {row['found by its check']:6} {row['recall']:7.3f} "
            f"{row['found by any check']:7}"
        )
    result["machine"] = machine.facts("cpu")
    print(machine.save("caption_checks", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
