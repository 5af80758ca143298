"""A server with every fault there is, and SIGKILL at random moments: all records get captions, none paid twice."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.chat.ledger import Ledger
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.chat_server import FAULTS, ChatServer, keyed
from tests.e2e.conftest import COMMAND

RECORDS, KILLS = (int(os.environ.get(f"FUSIONRS_{name}", some)) for name, some in (("RECORDS", "240"), ("KILLS", "3")))
"""`make torture` asks for 2,000 and 10."""

KEY = "sk-secret-0123456789abcdef"

PRICES = {"input": 1.5, "output": 6.0}


def laid(tmp_path: Path, class_folders: Callable[..., Path]) -> Workspace:
    ws = Workspace.open(tmp_path / "built", create=True)
    ws.write_bytes(
        "fusionrs.toml",
        f"[build]\nshard_records = 100\n[caption.prices.m]\ninput = {PRICES['input']}\noutput = {PRICES['output']}\n"
        .encode(),
    )  # fmt: skip
    pipeline.download(ws, "scenes", from_=str(class_folders(RECORDS)), format="class-folders", license="MIT")
    pipeline.translate(ws, translator="gray")
    return ws


def usd(tokens: tuple[int, int]) -> float:
    return (tokens[0] * PRICES["input"] + tokens[1] * PRICES["output"]) / 1e6


def test_faults_and_kills(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    ws = laid(tmp_path, class_folders)
    seen: Counter[str] = Counter()
    chance = random.Random(7)
    errors = b""
    with ChatServer(FAULTS, rate=0.2, latency_s=0.02, seed=11) as server:
        command = [COMMAND, "caption", "--captioner", "chat", "--model", "m", "--base-url", server.url, "-w", ws.url]
        command += ["--concurrency", "8", "--timeout", "1", "-v"]
        environment = {**os.environ, "OPENAI_API_KEY": KEY}
        kills = 0
        for _ in range(KILLS + 20):
            process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            try:
                if kills < KILLS:
                    before = server.counts.asked.total()
                    deadline = time.monotonic() + 60
                    while server.counts.asked.total() < before + chance.randrange(1, RECORDS // KILLS) and (
                        process.poll() is None and time.monotonic() < deadline
                    ):
                        time.sleep(0.01)
                    if process.poll() is None:
                        process.send_signal(signal.SIGKILL)
                        kills += 1
            finally:
                output = process.communicate()
            errors += b"".join(output)
            seen[str(process.returncode)] += 1
            if process.returncode == 0:
                break
        counts = server.counts
    assert seen["0"] == 1, (seen, errors[-2000:])
    assert kills == KILLS
    # Drawn by chance: of some fifty faults one kind or two may not come up.
    assert len([fault for fault in FAULTS if counts.asked[fault]]) >= len(FAULTS) - 2

    rows = [row for shard in ws.shards("captions") for row in ws.rows("captions", shard)]
    assert len(rows) == RECORDS
    assert all((len(row["scene_captions"]), len(row["ir_captions"])) == (2, 2) for row in rows)
    written = [w for row in rows for w in (*row["caption_source"]["scene"], *row["caption_source"]["ir"])]
    assert sum(writer == "chat:m" for writer in written) > 0.9 * len(written)

    with Ledger(Path(ws.path("ledger.sqlite"))) as ledger:
        spent = ledger.spent()
        doubtful = ledger._all("SELECT count(*) FROM attempts WHERE state = 'doubtful'")[0][0]
        kept = {keyed(row["text"], row["images"]) for row in ledger.rows()}
    # What the server charged for and this side never heard of: the line broke, or the process died, on the way.
    lost = {key: count - (key in kept) for key, count in counts.answered.items()}
    assert kept <= set(lost)
    assert 0 <= sum(lost.values()) <= doubtful
    charged = usd((counts.tokens_in, counts.tokens_out))
    assert spent.usd <= charged <= spent.usd + spent.doubtful_usd
    lost_usd = sum(usd(counts.prices[key]) * count for key, count in lost.items())
    assert spent.usd == pytest.approx(charged - lost_usd, abs=1e-9)
    assert counts.answered.total() <= RECORDS + counts.asked.total() - counts.asked["ok"] + doubtful
    everything = errors + Path(ws.path("ledger.sqlite")).read_bytes() + repr(rows).encode()
    assert KEY.encode() not in everything
    assert KEY[10:].encode() not in everything
    print(f"{RECORDS} records, {kills} kills, {counts.asked.total()} requests: {dict(counts.asked)}; {_told(spent)}")


def _told(spent: Any) -> str:
    return f"${spent.usd:.6f} in the ledger, up to ${spent.doubtful_usd:.6f} doubtful, {spent.failed} failed attempts"
