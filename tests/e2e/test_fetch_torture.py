"""A server that fails in every way, and SIGKILL: every file arrives verified, and little of any is sent twice.

`make torture` takes the full measure: 50 files, 300 MB, ten kills.
"""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fusionrs_builder.corpora.address import Address
from tests.corpora.faulty_server import FaultyServer, serving
from tests.corpora.test_archive import packed

IS_FULL = "FUSIONRS_KILLS" in os.environ

FILES, MEGABYTES, KILLS = (50, 300, 10) if IS_FULL else (20, 30, 3)

MB = 1_000_000

RATE = 12 * MB
"""Bytes a second of one line, so that a kill finds the work going on."""

FETCH = """
import json, sys
from pathlib import Path
from fusionrs_builder.corpora import http, transfer
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.fetch import fetch
http.SILENT_S, transfer.PAUSE_S = 0.5, 0.02
addresses, folder = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2])
fetched = fetch("torture", [Address(**values) for values in addresses], folder)
print(json.dumps(fetched.sha256))
"""

FAULTS: tuple[tuple[str, ...], ...] = (
    ("drop",),
    ("drop", "drop:70000", "drop:0"),
    ("stall",),
    ("mute",),
    ("loop",) * 11,
    ("long",),
    ("short",),
    ("page",),
    ("503", "429:0", "500"),
    ("503:date",),
    ("429:1", "drop"),
    ("slow",),
    ("unsized",),
    ("404",),
    ("403",),
)
"""What befalls files in turn; the last two have a mirror. Two small ones are sent with other bytes, or change."""


@dataclass(frozen=True)
class Told:
    """What a run of the torture came to.

    Attributes:
        files, bytes: published.
        served: bytes of them that the server gave, over all runs.
        kills: that fell into the work.
        requests: of files.
        seconds: over all runs.
    """

    files: int
    bytes: int
    served: int
    kills: int
    requests: int
    seconds: float


def published(server: FaultyServer, files: int, megabytes: int) -> tuple[list[Address], dict[str, bytes]]:
    """Files of many sizes with what will befall them, and what must arrive."""
    chance = random.Random(1)
    weights = [chance.uniform(0.3, 1.7) for _ in range(files - 2)]
    sizes = [int(megabytes * MB * weight / sum(weights)) for weight in weights]
    addresses, expected = [], {}
    for number, size in enumerate(sizes):
        faults = FAULTS[number % len(FAULTS)]
        kind = ("bin", "zip", "tar.gz")[number % 3]
        content = chance.randbytes(size)
        data = content if kind == "bin" else packed(f"a.{kind}", {f"{number}/content": content})
        name = f"{number:03d}.{kind}"
        url = server.put(name, data, *faults)
        mirrors: tuple[str, ...] = ()
        if faults[0] in ("403", "404"):
            server.files[name].faults *= 1000
            mirrors = (server.put(f"mirror/{name}", data, "drop"),)
        # Every other one has no hash to be known by: its length, its tag and, for an archive, its sums must do.
        told = (
            {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} if number % 2 or "short" in faults else {}
        )
        addresses.append(Address.model_validate({"url": url, "mirrors": mirrors, "to": name, **told}))
        expected[name] = data
    for name, fault in (("other.bin", "other"), ("changed.bin", "changed")):
        data = chance.randbytes(200_000)
        url = server.put(name, data, "drop", fault)
        told = {"sha256": hashlib.sha256(data).hexdigest()} if fault == "other" else {}
        addresses.append(Address.model_validate({"url": url, **told}))
        expected[name] = data
    return addresses, expected


def torture(folder: Path, files: int, megabytes: int, kills: int) -> Told:
    """Fetch from the worst of servers, killed again and again at random counts of bytes, and check what came."""
    chance = random.Random(2)
    with serving(RATE) as server:
        addresses, expected = published(server, files, megabytes)
        total = sum(map(len, expected.values()))
        plan = folder / "addresses.json"
        plan.write_text(json.dumps([address.model_dump(mode="json") for address in addresses]))
        command = [sys.executable, "-c", FETCH, str(plan), str(folder / "raw")]
        started = time.monotonic()
        killed = 0
        verified: set[str] = set()
        before: dict[str, int] = {}
        for kill in range(kills):
            process = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
            # The kills are spread over all bytes, each somewhere in its own stretch.
            until = total * (kill + chance.uniform(0.2, 0.9)) / (kills + 0.5)
            while sum(server.served.values()) < until and process.poll() is None:
                time.sleep(0.002)
            killed += process.poll() is None
            os.killpg(process.pid, signal.SIGKILL) if process.poll() is None else None
            process.wait()
            asked_again(server, verified, before)
            verified = stands(folder / "raw", expected)
            before = {name: asked(server, name) for name in verified}
        done = subprocess.run(command, capture_output=True, text=True, timeout=300)
        seconds = time.monotonic() - started
        assert done.returncode == 0, done.stderr
        asked_again(server, verified, before)
        expected["changed.bin"] = server.files["changed.bin"].data
        assert json.loads(done.stdout) == {name: hashlib.sha256(data).hexdigest() for name, data in expected.items()}
        for name, data in expected.items():
            assert (folder / "raw" / "published" / name).read_bytes() == data
        contents = {name for name in expected if name.endswith((".zip", ".tar.gz"))}
        for name in contents:
            assert (folder / "raw" / "files" / str(int(name[:3])) / "content").stat().st_size > 0
        assert sorted(path.name for path in (folder / "raw").iterdir()) == ["fetched.jsonl", "files", "published"]
        requests = len(server.requests)
        quiet = subprocess.run(command, capture_output=True, text=True, timeout=300)
        assert quiet.stdout == done.stdout and len(server.requests) == requests, "a run with nothing to do asks nobody"
        return Told(len(expected), total, sum(server.served.values()), killed, requests, seconds)


def asked(server: FaultyServer, name: str) -> int:
    return server.asked(name) + server.asked(f"mirror/{name}")


def asked_again(server: FaultyServer, verified: Sequence[str] | set[str], before: dict[str, int]) -> None:
    """No file was asked for once it was verified."""
    again = [name for name in verified if asked(server, name) != before[name]]
    assert not again, f"fetched again: {again}"


def stands(folder: Path, expected: dict[str, bytes]) -> set[str]:
    """Names of the files that are published, each whole."""
    found = set()
    for name, data in expected.items():
        path = folder / "published" / name
        if path.exists():
            assert name == "changed.bin" or path.read_bytes() == data, f"{name} is published, but not whole"
            found.add(name)
    return found


def test_all_arrive_though_everything_fails(tmp_path: Path) -> None:
    told = torture(tmp_path, FILES, MEGABYTES, KILLS)
    print(f"\n{asdict(told)}, bytes served / bytes {told.served / told.bytes:.3f}")
    assert told.served <= 1.1 * told.bytes
    assert told.kills >= KILLS - 1, "the kills must fall into the work"
    assert told.files == FILES
