"""MB/s of fetching over loopback: one large file and many small ones, against a plain loop of httpx2 that streams them
one after the other to disk, as it is and with the hash and the sync of each file that `fetch` makes too, on the same
server in the same run. With `--torture` also the
bytes that the worst of servers gives, over those of its files, with ten kills.

    python -m benchmarks.fetch [--megabytes 400] [--torture]
"""

import argparse
import hashlib
import multiprocessing
import os
import random
import socketserver
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import httpx2
import numpy as np

from benchmarks import machine
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.fetch import fetch

ROUNDS = 3
"""Each contestant runs so often, in turn; the median counts."""

SMALL = 400
"""Files the same bytes are published in, besides one."""


class _Handler(BaseHTTPRequestHandler):
    """Gives so many bytes as the path ends with."""

    protocol_version = "HTTP/1.1"
    block = random.Random(0).randbytes(1 << 20)

    def do_GET(self) -> None:
        left = int(self.path.rpartition("-")[2])
        self.send_response(200)
        self.send_header("Content-Length", str(left))
        self.send_header("ETag", f'"{self.path}"')
        self.end_headers()
        while left:
            left -= self.wfile.write(memoryview(self.block)[:left])

    def log_message(self, *_: Any) -> None:
        pass


def serve(pipe: Connection) -> None:
    """A server in a process of its own, until that is ended."""
    socketserver.TCPServer.request_queue_size = 64
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    pipe.send(server.server_port)
    server.serve_forever()


def plain(urls: list[str], folder: Path, is_durable: bool) -> None:
    """One file after the other, as scripts do."""
    with httpx2.Client() as client:
        for number, url in enumerate(urls):
            sha256 = hashlib.sha256()
            with client.stream("GET", url) as response, (folder / str(number)).open("wb") as handle:
                for chunk in response.iter_raw():
                    handle.write(chunk)
                    if is_durable:
                        sha256.update(chunk)
                if is_durable:
                    handle.flush()
                    os.fsync(handle.fileno())


def ours(urls: list[str], folder: Path) -> None:
    """`fetch`, which hashes, notes and lays out every file."""
    fetch("bench", [Address(url=url) for url in urls], folder)


def rates(port: int, megabytes: int) -> dict[str, dict[str, float]]:
    """MB/s of each contestant for one file, and for many."""
    size = megabytes * 1_000_000
    published = {
        "one file": [f"http://127.0.0.1:{port}/one-{size}"],
        f"{SMALL} files": [f"http://127.0.0.1:{port}/{i}-{size // SMALL}" for i in range(SMALL)],
    }
    contestants: dict[str, Callable[[list[str], Path], None]] = {
        "plain loop": partial(plain, is_durable=False),
        "plain loop, hashed and synced": partial(plain, is_durable=True),
        "fetch": ours,
    }
    seconds: dict[tuple[str, str], list[float]] = {(what, name): [] for what in published for name in contestants}
    for round_ in range(ROUNDS + 1):
        for what, name in seconds:
            with tempfile.TemporaryDirectory() as folder:
                started = time.perf_counter()
                contestants[name](published[what], Path(folder))
                if round_:  # the first warms up
                    seconds[what, name].append(time.perf_counter() - started)
    return {
        what: {name: round(megabytes / float(np.median(seconds[what, name])), 1) for name in contestants}
        for what in published
    }


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400)
    parser.add_argument("--torture", action="store_true")
    chosen = parser.parse_args(arguments)
    near, far = multiprocessing.get_context("spawn").Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(far,), daemon=True)
    server.start()
    try:
        found = rates(near.recv(), chosen.megabytes)
    finally:
        server.terminate()
    result: dict[str, Any] = {
        "megabytes": chosen.megabytes,
        "mb_per_s": found,
        "times_plain_loop": {
            what: {name: round(by["fetch"] / by[name], 2) for name in by if name != "fetch"}
            for what, by in found.items()
        },
    }
    if chosen.torture:
        from tests.e2e.test_fetch_torture import torture

        with tempfile.TemporaryDirectory() as folder:
            told = torture(Path(folder), files=50, megabytes=300, kills=10)
        result["torture"] = {**asdict(told), "served_share": round(told.served / told.bytes, 4)}
    result["machine"] = machine.facts("cpu")
    path = machine.save("fetch", result)
    for what, by in found.items():
        for name, rate in by.items():
            print(f"{what:10} {name:30} {rate:8.1f} MB/s  {rate / by['plain loop']:5.2f} x plain loop")
    if chosen.torture:
        print(f"torture: bytes served / bytes {result['torture']['served_share']}, {told.kills} kills")
    print(path, file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
