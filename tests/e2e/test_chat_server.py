"""A real server, `transformers serve`, with a tiny model made here, captions real records through the whole build."""

import contextlib
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fusionrs_builder import pipeline
from fusionrs_builder.caption.report import report
from fusionrs_builder.corpora import registry
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.chat_server import ChatServer
from tests.caption.chat.tiny_vlm import save_tiny_vlm
from tests.e2e.conftest import COMMAND, Call

RECORDS = 200


@contextlib.contextmanager
def serving(model: Path) -> Iterator[tuple[str, str, Path]]:
    """A server of the model in a folder: its address, the name of the model, and the file of its log."""
    pytest.importorskip("uvicorn")
    log = model / "log"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).parent / "transformers"), "serve", str(model), "--port", str(port)]
    with log.open("w") as sink:
        process = subprocess.Popen([*command, "--device", "cpu"], stdout=sink, stderr=subprocess.STDOUT)
    try:
        for _ in range(600):
            if process.poll() is not None:
                pytest.fail(log.read_text()[-2000:])
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=1)
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1", str(model), log
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Its address and the name of its model."""
    with serving(save_tiny_vlm(tmp_path_factory.mktemp("tiny-vlm"))) as (url, model, _):
        yield url, model


def test_its_noise_is_refused_and_every_record_has_captions(
    server: tuple[str, str], tmp_path: Path, samples: Path, call: Call
) -> None:
    ws = Workspace.open(tmp_path / "built", create=True)
    ws.write_bytes("fusionrs.toml", b"[build]\nshard_records = 60\n")
    for name in ("hit-uav", "oam-buildings"):
        entry = registry.entry(name)
        assert entry is not None
        assert entry.samples is not None
        pipeline.download(ws, name, from_=str(samples / entry.samples.folder), run=Run(1, limit=RECORDS // 2))
    pipeline.translate(ws, translator="gray", run=Run(1))
    url, model = server
    call("caption", "--captioner", "chat", "--base-url", url, "--model", model, "--max-tokens", "24", "-w", ws.url)
    rows = [row for shard in ws.shards("captions") for row in ws.rows("captions", shard)]
    assert len(rows) == RECORDS
    writers = Counter(w for row in rows for w in (*row["caption_source"]["scene"], *row["caption_source"]["ir"]))
    assert set(writers) == {"grounded@v1"}
    assert all(len(row["ir_captions"]) == 2 and row["caption_source"]["failed"] for row in rows)
    found = report(ws)
    assert (found.of_model, found.filled_in, found.refused) == (RECORDS, RECORDS, RECORDS)
    assert found.failed["malformed"] == RECORDS
    told = call("ledger", "show", "-w", ws.url).stdout
    assert f"{2 * RECORDS:,}" in told


def test_ctrl_c_ends_cleanly_and_keeps_what_was_answered(
    tmp_path: Path, class_folders: Callable[..., Path], call: Call
) -> None:
    ws = Workspace.open(tmp_path / "built", create=True)
    pipeline.download(ws, "scenes", from_=str(class_folders(120)), format="class-folders", license="MIT")
    pipeline.translate(ws, translator="gray")
    with ChatServer(latency_s=0.3) as server:
        arguments = ["caption", "--captioner", "chat", "--base-url", server.url, "--model", "m", "--concurrency", "4"]
        process = subprocess.Popen([COMMAND, *arguments, "-w", ws.url], stderr=subprocess.PIPE, text=True)
        while server.counts.asked.total() < 12 and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 130
        first, last = said.strip().split("\n")
        assert first == "caption: waiting up to 20 s for 4 answers under way"
        assert last == "stopped; run the same command again to go on where it was"
        answered = server.counts.answered.total()
        server.latency_s = 0
        call("caption", "-w", ws.url)
        assert server.counts.answered.total() == 120 >= answered
        assert max(server.counts.answered.values()) == 1
