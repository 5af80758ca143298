"""How far above chance a trained CLIP finds things on a whole held-out split, both kinds of infrared in one gallery.

    python -m benchmarks.held_out RUN [--data demo/release/fusionrs] [--split test]

`fusionrs-build benchmark` never mixes them; here a gallery is all that was held out. A model that only told measured
from translated infrared would be at twice chance.
"""

import argparse
import json
import sys
from typing import Any
from unittest import mock

from benchmarks import machine
from fusionrs_builder.benchmark.encoding import Encoded
from fusionrs_builder.benchmark.models.specs import embedding_model
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks import retrieval
from fusionrs_builder.release.load import load_split

PROTOCOLS = ("fusionrs-rc4@1", "ir-captions@1")
"""Scene captions are found in the first, captions of infrared in the second."""


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", help="of train.clip")
    parser.add_argument("--data", default="demo/release/fusionrs")
    parser.add_argument("--split", default="test")
    chosen = parser.parse_args(arguments)
    records = Records(load_split(chosen.data, chosen.split), chosen.data, chosen.split)
    source = Encoded(embedding_model(f"train:{chosen.run}"), records, None, "cpu")

    def all_in_one(of: Records, protocol: retrieval.Protocol, inputs: Any) -> Any:
        yield of.dataset, [n for n, record in enumerate(of) if retrieval._usable(record, protocol)], inputs

    found: dict[str, Any] = {}
    with mock.patch.object(retrieval, "_subsets", all_in_one):
        for result in retrieval.retrieval(records, source, ("infrared",), "cpu"):
            for direction in ("rgb->ir", "ir->text") if result.protocol in PROTOCOLS else ():
                estimate = result.estimates[f"{direction} R@1"]
                share, n = estimate.score, estimate.n
                found[f"{result.protocol} {direction}"] = {
                    "n": n,
                    "R@1": round(share.mean, 4),
                    "times chance": round(share.mean * n, 1),
                    "interval, times chance": [round(share.low * n, 1), round(share.high * n, 1)],
                }
    result = {"split": chosen.split, "R@1": found, "machine": machine.facts("cpu")}
    print(json.dumps(result, indent=1))
    print(machine.save("held_out", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
