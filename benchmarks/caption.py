"""Captions/s of `caption --captioner chat`, and its CPU time a request, against a loopback server of fixed latency.

    python -m benchmarks.caption [--peer .peers/distilabel/bin/python] [--records 1920]

The server works on 64 requests at once and takes 500 ms for each: 128 a second are ideal. Contestants, on the same
images: the whole stage (Parquet in, checks, ledger, Parquet out), a plain loop with the `openai` client, and
distilabel, which takes one image a row where the others send two.
"""

import argparse
import asyncio
import base64
import contextlib
import hashlib
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import openai

from benchmarks import machine
from fusionrs_builder import pixels
from fusionrs_builder.caption.chat.question import SCHEMA
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace
from tests.caption.chat.chat_server import captions_of

SLOTS, LATENCY_S, SIDE = 64, 0.5, 512

SCENES, SHARD = 64, 500

IDEAL = SLOTS / LATENCY_S


def serve(port: Any, done: Any) -> None:
    """Runs in a process of its own. It parses nothing: its share of the two cores is to be small."""
    slots, times = asyncio.Semaphore(SLOTS), []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
                data = await reader.readexactly(size)
                async with slots:
                    await asyncio.sleep(LATENCY_S)
                text = json.dumps(captions_of(hashlib.sha256(data).digest()))
                choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
                body = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice],
                        "usage": {"prompt_tokens": 900, "completion_tokens": 80, "total_tokens": 980}}  # fmt: skip
                answer = json.dumps(body).encode()
                kind = b"Content-Type: application/json\r\n"
                writer.write(b"HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n" % (kind, len(answer)) + answer)
                times.append(time.monotonic())

    async def run() -> None:
        server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 22)
        port.put(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")
        while not done.is_set():
            await asyncio.sleep(0.1)
        port.put((len(times), times[0], times[-1]))

    asyncio.run(run())


class Server:
    """The server; `window` is the requests it answered and the seconds between the first and the last."""

    def __enter__(self) -> "Server":
        context = multiprocessing.get_context("spawn")
        self._queue, self._done = context.Queue(), context.Event()
        self._process = context.Process(target=serve, args=(self._queue, self._done))
        self._process.start()
        self.url = self._queue.get()
        return self

    def window(self) -> tuple[int, float]:
        self._done.set()
        count, first, last = self._queue.get()
        return count, last - first

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._process.join()


def images(count: int) -> list[tuple[bytes, bytes]]:
    """RGB and infrared JPEGs of rendered scenes, each unlike the others by one pixel's worth at least."""
    scenes = [render(seed, SIDE) for seed in range(min(count, SCENES))]
    found = []
    for n in range(count):
        rgb = scenes[n % len(scenes)].rgb.copy()
        rgb[:8, :8] = (n % 251, n // 251, 128)
        gray = rgb.mean(axis=2).astype("uint8")
        found.append((pixels.encode_jpeg(rgb), pixels.encode_jpeg(gray)))
    return found


def lay(workspace: Workspace, some: list[tuple[bytes, bytes]]) -> None:
    """Shards of the rgb and the ir layer, as download and translate would have left them."""
    workspace.write_bytes("fusionrs.toml", b"[corpora.bench]\nfrom = '/nowhere'\n")
    for start in range(0, len(some), SHARD):
        name = f"bench-{start // SHARD:05d}"
        part = some[start : start + SHARD]
        with workspace.writer("rgb", name) as rgb, workspace.writer("ir", name) as ir:
            for n, (visible, infrared) in enumerate(part, start):
                rgb.write({"id": f"bench/{n}", "rgb": {"bytes": visible, "path": "x.jpg"}})
                shown = {"ir": {"bytes": infrared, "path": "x.jpg"}, "ir_origin": "translated", "ir_band": "nir"}
                ir.write({"id": f"bench/{n}", **shown})
            content = rgb.commit(Footer("download", "f", items=len(part))).content
            ir.commit(Footer("translate", "f", inputs={"rgb": content}, items=len(part)))


STAGE = """
import json, resource, sys, threading, time
from fusionrs_builder.caption.stage import CaptionStage
from fusionrs_builder.settings import CaptionSettings
from fusionrs_builder.engines.runner import Run, run_stage
from fusionrs_builder.workspace import Workspace

seconds = {}

def watch():
    while True:
        for thread in threading.enumerate():
            try:
                fields = open(f"/proc/self/task/{thread.native_id}/stat").read().rpartition(")")[2].split()
                seconds[thread.name] = (int(fields[11]) + int(fields[12])) / 100
            except (OSError, TypeError):
                pass
        time.sleep(0.2)

threading.Thread(target=watch, name="watch", daemon=True).start()
started = time.process_time()
settings = CaptionSettings(captioner="chat", base_url=sys.argv[2], model="m", concurrency=int(sys.argv[3]))
run_stage(Workspace.open(sys.argv[1]), CaptionStage(settings, 0), Run(1), 0.05)
children = resource.getrusage(resource.RUSAGE_CHILDREN)
measuring = children.ru_utime + children.ru_stime
print(json.dumps({"start": started, "all": time.process_time(), "measuring": measuring, **seconds}))
"""


def by_stage(workspace: Workspace, url: str) -> dict[str, float]:
    """The whole stage in a process of its own; CPU seconds of its start, of all, and by thread."""
    command = [sys.executable, "-c", STAGE, workspace.url, url, str(SLOTS)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    return found


def by_loop(some: list[tuple[bytes, bytes]], url: str) -> None:
    """One question after the other, as a script does it."""
    client = openai.OpenAI(base_url=url, api_key="none")
    for pair in some:
        urls = ["data:image/jpeg;base64," + base64.b64encode(image).decode() for image in pair]
        content: list[Any] = [{"type": "text", "text": "Describe both images."}]
        content += [{"type": "image_url", "image_url": {"url": each}} for each in urls]
        schema: Any = {"type": "json_schema", "json_schema": {"name": "c", "strict": True, "schema": SCHEMA}}
        message: Any = {"role": "user", "content": content}
        found = client.chat.completions.create(model="m", messages=[message], response_format=schema)
        json.loads(found.choices[0].message.content or "")


def by_distilabel(peer: Path, some: list[tuple[bytes, bytes]], url: str, folder: Path) -> None:
    file = folder / "rows.jsonl"
    file.write_text("\n".join(base64.b64encode(rgb).decode() for rgb, _ in some))
    script = Path(__file__).parent / "peers" / "distilabel_caption.py"
    subprocess.run([peer.absolute(), script, file, url, str(SLOTS)], check=True, stdout=subprocess.DEVNULL)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", type=Path, help="python of an environment with distilabel")
    parser.add_argument("--records", type=int, default=1920)
    chosen = parser.parse_args(arguments)
    some = images(chosen.records)
    size = sum(len(a) + len(b) for a, b in some) / len(some)
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as place:
        workspace = Workspace.open(Path(place) / "ws", create=True)
        lay(workspace, some)
        started = time.monotonic()
        with Server() as server:
            cpu = by_stage(workspace, server.url)
            count, seconds = server.window()
        wall = time.monotonic() - started
        rates["stage"] = (count - 1) / seconds
        with Server() as server:
            by_loop(some[:40], server.url)
            loop, seconds = server.window()
            rates["sequential loop"] = (loop - 1) / seconds
        if chosen.peer:
            with Server() as server:
                by_distilabel(chosen.peer, some[: chosen.records // 2], server.url, Path(place))
                peer, seconds = server.window()
                rates["distilabel"] = (peer - 1) / seconds
    result = {
        "records": len(some), "requests": count, "slots": SLOTS, "latency_s": LATENCY_S,
        "image_bytes_a_record": round(size),
        "requests_per_s": {name: round(rate, 2) for name, rate in rates.items()},
        "share_of_ideal": {name: round(rate / IDEAL, 3) for name, rate in rates.items()},
        "stage_wall_s": round(wall, 1),
        "cpu_ms_a_request": {
            # `chat` holds the connections and checks what comes, `ledger` writes: that is the client.
            "client": round(1000 * (cpu["chat"] + cpu["ledger"]) / count, 2),
            "measuring, in its own process": round(1000 * cpu["measuring"] / count, 2),
            "whole stage": round(1000 * (cpu["all"] - cpu["start"] + cpu["measuring"]) / count, 2),
            "start, s in all": round(cpu["start"], 2),
        },
        "machine": machine.facts("cpu"),
    }  # fmt: skip
    print(f"ideal {IDEAL:.0f} requests/s; ms of CPU a request: {result['cpu_ms_a_request']}")
    for name, rate in rates.items():
        print(f"  {name:16} {rate:8.2f} requests/s  {rate / IDEAL:6.1%} of ideal")
    print(machine.save("caption", result), file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
