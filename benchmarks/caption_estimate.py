"""How near `caption --estimate` comes to the true cost of a run of 1,000 records.

    python -m benchmarks.caption_estimate [--runs 3] [--records 1000]

A loopback server counts tokens and charges for them. A tenth of its first answers is no JSON, so that these records are
asked twice; which ones is drawn anew in every run.
"""

import argparse
import hashlib
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.caption import images, lay
from fusionrs_builder.caption.chat.estimate import estimate
from fusionrs_builder.caption.stage import CaptionStage
from fusionrs_builder.engines.runner import Run, run_stage
from fusionrs_builder.settings import CaptionSettings, Price
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.chat_server import Body, ChatServer, captions, question_of

PRICE = Price(input=1, output=2)

FAILING = 0.1


def one(seed: int, some: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    """Estimate, run, and compare."""

    def answer(body: Body) -> Any:
        chance = hashlib.sha256(f"{seed} {question_of(body)}".encode()).digest()[0] / 256
        again = "Your last answer had faults" in body["messages"][-1]["content"][0]["text"]
        return captions(body) if again or chance >= FAILING else "no JSON"

    with tempfile.TemporaryDirectory() as place, ChatServer(answer=answer, latency_s=0.01) as server:
        workspace = Workspace.open(Path(place) / "ws", create=True)
        lay(workspace, some)
        settings = CaptionSettings(captioner="chat", base_url=server.url, model="m", prices={"m": PRICE})
        stage = CaptionStage(settings, seed)
        found = estimate(workspace, settings, stage.tasks(workspace), seed)
        run_stage(workspace, stage, Run(1), 0.05)
        counts = server.counts
    true = (counts.tokens_in * PRICE.input + counts.tokens_out * PRICE.output) / 1e6
    assert found.usd is not None
    return {"estimate": found.usd, "interval": found.usd_interval, "true": true, "off": found.usd / true - 1}


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--records", type=int, default=1000)
    chosen = parser.parse_args(arguments)
    some = images(chosen.records)
    runs = [one(seed, some) for seed in range(chosen.runs)]
    for found in runs:
        low, high = found["interval"]
        told = f"estimate ${found['estimate']:.4f} ({low:.4f} to {high:.4f}), true ${found['true']:.4f}"
        print(f"{told}: {found['off']:+.1%}")
    result = {**vars(chosen), "pilots": runs, "machine": machine.facts("cpu")}
    print(machine.save("caption_estimate", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
