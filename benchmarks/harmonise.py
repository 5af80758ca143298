"""Images/s of `download` (fetch, decode, resize 400 -> 256, JPEG of quality 95, hashes, Parquet) beside img2dataset.

Both get the same JPEGs from one server on this machine, in turn, on the same cores, each as a process of its own from
start to end. We fetch one archive, as corpora are published; img2dataset asks for image after image, the one way it
has; a third row lets us do so too.

What an image costs us, step by step, is measured apart, in one process: the first three steps are what the peer does
too, the others make the columns by which `curate` finds copies. `bound` is what these steps alone would allow on all
cores, were fetching, Parquet and starting processes free. The resize is as fast as OpenCV's INTER_AREA and libvips
(0.92 and 0.93 ms here against 1.13); torch's uint8 kernel takes 0.43, but importing torch costs each process 2 s,
and the bound would still be 612 images/s.

    python -m benchmarks.harmonise --peer PATH/img2dataset [--images 4000]
"""

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import rasterio

from benchmarks import machine
from fusionrs_builder import pixels
from fusionrs_builder.config import samples_folder
from fusionrs_builder.corpora import views
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.corpora.reader import Item, Sample
from fusionrs_builder.corpora.views import View
from fusionrs_builder.settings import CorpusSettings

SIDE, SMALL, ROUNDS, CORES = 400, 256, 3, 2
WHOLE = "all of harmonise"

OURS = """
import json, sys
from pathlib import Path
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.fetch import fetch
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.pipeline import Workspace, download
if __name__ == "__main__":
    folder, addresses = sys.argv[1], [Address(**each) for each in json.loads(sys.stdin.read())]
    ws = Workspace.open(folder, create=True)
    fetch("bench", addresses, Path(folder, "raw", "bench"), workers=16, per_host=16)
    summary = download(ws, "bench", from_=f"{folder}/raw/bench/files", format="class-folders", license="MIT",
                       image_size=256, run=Run(workers=%d))
    assert not summary.refused, summary.refused
"""


def scenes(count: int) -> Iterator[bytes]:
    """JPEGs of 400 x 400 pixels: crops of NAIP where the samples are at hand, else rendered."""
    random = np.random.default_rng(0)
    samples = samples_folder()
    files = sorted(samples.glob("naip-opengeos/naip/*.tif")) if samples else []
    if not files:
        rendered = [np.kron(render(seed).rgb, np.ones((2, 2, 1), np.uint8)) for seed in range(16)]
    else:
        rendered = [np.moveaxis(rasterio.open(file).read((1, 2, 3)), 0, -1) for file in files]
    for number in range(count):
        whole = rendered[number % len(rendered)]
        row, column = (int(random.integers(0, side - SIDE + 1)) for side in whole.shape[:2])
        yield pixels.encode_jpeg(np.ascontiguousarray(whole[row : row + SIDE, column : column + SIDE]), 90)


def publish(folder: Path, count: int) -> list[str]:
    """The images as files of two classes, and together as one archive. Gives their paths."""
    paths = []
    with zipfile.ZipFile(folder / "images.zip", "w", zipfile.ZIP_STORED) as archive:
        for number, data in enumerate(scenes(count)):
            path = f"{'even' if number % 2 == 0 else 'odd'}/{number:06d}.jpg"
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_bytes(data)
            archive.writestr(path, data)
            paths.append(path)
    return paths


@contextlib.contextmanager
def served(folder: Path) -> Iterator[str]:
    """The folder over HTTP, by a process of its own."""
    code = (
        "import functools, http.server as h\n"
        "class Handler(h.SimpleHTTPRequestHandler):\n"
        "    protocol_version = 'HTTP/1.1'\n"
        "    log_message = lambda *a: None\n"
        "h.ThreadingHTTPServer.request_queue_size = 1024\n"  # 64 threads of the peer ask at once
        f"server = h.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Handler, directory={str(folder)!r}))\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()


def ours(addresses: list[dict[str, str]], out: Path) -> int:
    """Our process; gives the records it made."""
    command = [sys.executable, "-c", OURS % CORES, str(out)]
    subprocess.run(command, input=json.dumps(addresses), text=True, check=True, stderr=subprocess.DEVNULL)
    return sum(pq.read_metadata(path).num_rows for path in out.glob("rgb/*.parquet"))


def img2dataset(peer: str, urls: list[str], out: Path) -> int:
    """The peer's process, set to do the same; gives the records it made."""
    out.mkdir()
    (out / "urls.txt").write_text("\n".join(urls))
    options = {
        "url_list": out / "urls.txt", "output_folder": out / "data", "output_format": "parquet", "image_size": SMALL,
        "resize_mode": "keep_ratio", "encode_quality": 95, "processes_count": CORES, "thread_count": 32,
        "number_sample_per_shard": 1000, "compute_hash": "sha256",
    }  # fmt: skip
    command = [peer, *(f"--{name}={value}" for name, value in options.items())]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    made = [pq.read_table(path, columns=["status"]) for path in (out / "data").glob("*.parquet")]
    return sum(status == "success" for table in made for status in table["status"].to_pylist())


def steps(images: list[bytes]) -> dict[str, float]:
    """Milliseconds an image of each step, the best of three rounds."""
    settings = CorpusSettings(image_size=SMALL)
    decoded = [views.open_image(data) for data in images]
    shrunk = [View(image, image.size, lossy=True).shrunk((SMALL, SMALL)) for image in decoded]
    encoded = [view.encoded("jpeg") for view in shrunk]
    shown = [view.shown(data) for view, data in zip(shrunk, encoded, strict=True)]
    work: dict[str, Callable[[int], Any]] = {
        "decode": lambda n: views.open_image(images[n]),
        "resize": lambda n: View(decoded[n], decoded[n].size, lossy=True).shrunk((SMALL, SMALL)),
        "encode": lambda n: shrunk[n].encoded("jpeg"),
        "decode what a reader will see": lambda n: shrunk[n].shown(encoded[n]),
        "its sha256, 16 perceptual hashes, look and quality": lambda n: (
            pixels.pixel_sha256(shown[n]),
            pixels.described(shown[n]),
        ),
        WHOLE: lambda n: harmonise(Item(str(n)), Sample(rgb=images[n]), "bench", settings, {}),
    }
    found = {}
    for name, step in work.items():
        seconds = []
        for _ in range(ROUNDS):
            started = time.perf_counter()
            for number in range(len(images)):
                step(number)
            seconds.append(time.perf_counter() - started)
        found[name] = round(1000 * min(seconds) / len(images), 2)
    return found


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    """Measure, print and save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peer", required=True, help="the img2dataset command, in an environment of its own")
    parser.add_argument("--images", type=int, default=4000)
    chosen = parser.parse_args(arguments)
    seconds: dict[str, list[float]] = {"img2dataset": [], "ours, one archive": [], "ours, a request an image": []}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "www"
        folder.mkdir()
        paths = publish(folder, chosen.images)
        with served(folder) as url:
            single = [{"url": f"{url}/{path}", "to": path} for path in paths]
            for round_ in range(ROUNDS):
                out = Path(temporary) / f"round-{round_}"
                out.mkdir()
                contestants = {
                    "img2dataset": lambda out=out: img2dataset(
                        chosen.peer, [each["url"] for each in single], out / "peer"
                    ),
                    "ours, one archive": lambda out=out: ours([{"url": f"{url}/images.zip"}], out / "archive"),
                    "ours, a request an image": lambda out=out: ours(single, out / "single"),
                }
                for name, run in contestants.items():
                    started = time.perf_counter()
                    made = run()
                    seconds[name].append(time.perf_counter() - started)
                    assert made == chosen.images, f"{name}: {made} of {chosen.images}"
    rates = {name: round(chosen.images / float(np.median(found)), 1) for name, found in seconds.items()}
    costs = steps(list(scenes(100)))
    result = {
        "images": chosen.images,
        "side_px": {"from": SIDE, "to": SMALL},
        "images_per_s": rates,
        "times_img2dataset": {name: round(rate / rates["img2dataset"], 2) for name, rate in rates.items()},
        "seconds": {name: [round(each, 2) for each in found] for name, found in seconds.items()},
        "our_ms_an_image": costs,
        "bound_images_per_s": round(1000 * CORES / sum(ms for name, ms in costs.items() if name != WHOLE), 1),
        "machine": machine.facts("cpu"),
    }
    path = machine.save("harmonise", result)
    for name, rate in rates.items():
        print(f"{name:26} {rate:8.1f} images/s  {rate / rates['img2dataset']:5.2f} x img2dataset")
    for name, milliseconds in result["our_ms_an_image"].items():
        print(f"{milliseconds:8.2f} ms an image: {name}")
    print(f"{result['bound_images_per_s']:8.1f} images/s at most, by these steps")
    print(path, file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
