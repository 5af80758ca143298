"""Bytes that cross the wire when a window is cut out of cloud-optimised GeoTIFFs: a catalogue on loopback, counted at
the server, against the window's own pixels and the whole files.

The values are noise, which deflate cannot shrink: the hardest case, since a real image costs fewer bytes a block.

    python -m benchmarks.stac
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import machine
from fusionrs_builder.corpora import formats, registry
from fusionrs_builder.corpora.harmonise import harmonise
from fusionrs_builder.corpora.stac import fetch_scenes
from fusionrs_builder.settings import CorpusSettings
from tests.corpora.stac_server import StacServer, box_of, landsat_like, naip_like

NAIP_SIDE, LANDSAT_SIDE = 6144, 4096
"""Pixels a side; a NAIP quarter quad has about 10,000, a Landsat scene 7,700."""

WINDOW = (1300, 1700, 1024, 1024)
"""Column, row, width and height that are asked for, across the blocks of the files."""

BLOCK = 256
"""Pixels a side of the files' blocks: less than the blocks under a window cannot be asked for."""


def measure(server: StacServer, name: str, paths: list[str], bytes_a_pixel: int) -> dict[str, Any]:
    """One request to one collection, and the records made of what came."""
    entry = registry.entry(name)
    assert entry is not None
    assert entry.stac is not None
    source = entry.stac.model_copy(update={"url": server.url, "sign": ""})
    given = {**entry.settings.model_dump(exclude_unset=True), "bbox": box_of(server.folder / paths[0], WINDOW)}
    settings = CorpusSettings.model_validate(given)
    folder = server.folder.parent / name
    server.served.clear()
    server.requests.clear()
    started = time.perf_counter()
    report = fetch_scenes(name, source, settings, folder)
    seconds = time.perf_counter() - started
    served = {path: count for path, count in server.served.items() if path.startswith("/data/")}
    requests = sum(count for path, count in server.requests.items() if path.startswith("/data/"))
    reader = formats.reader(folder / "files", settings, name)
    rows = [harmonise(item, reader.read(item), name, settings, dict(settings.stretch or {})) for item in reader.items()]
    column, row, width, height = WINDOW
    across, down = (
        (start + long - 1) // BLOCK - start // BLOCK + 1 for start, long in ((column, width), (row, height))
    )
    whole, pixels = sum((server.folder / path).stat().st_size for path in paths), WINDOW[2] * WINDOW[3] * bytes_a_pixel
    return {
        "files": len(paths),
        "whole_bytes": whole,
        "window_pixel_bytes": pixels,
        "block_pixel_bytes": across * down * BLOCK * BLOCK * bytes_a_pixel,
        "served_bytes": sum(served.values()),
        "requests": requests,
        "served_over_window": round(sum(served.values()) / pixels, 2),
        "served_share_of_whole": round(sum(served.values()) / whole, 4),
        "written_bytes": report.bytes,
        "seconds": round(seconds, 2),
        "records": len(rows),
        "ir_bands": sorted({row["ir_band"] for row in rows}),
    }


def main() -> dict[str, Any]:
    """Measure, print and save."""
    with tempfile.TemporaryDirectory() as folder, StacServer(Path(folder) / "served").running() as server:
        aerial, scene = naip_like(server, NAIP_SIDE), landsat_like(server, LANDSAT_SIDE)
        result = {
            "window_px": WINDOW[2:],
            "naip-like": measure(server, "naip", [aerial], 4),
            "landsat-like": measure(server, "landsat-c2-l2", scene, 2 * len(scene)),
            "machine": machine.facts("cpu"),
        }
    path = machine.save("stac", result)
    print(f"{'':14}{'whole':>14}{'window':>14}{'its blocks':>14}{'served':>14}{'requests':>10}{'records':>9}  infrared")
    for name in ("naip-like", "landsat-like"):
        found = result[name]
        counts = "".join(
            f"{found[key]:14,}" for key in ("whole_bytes", "window_pixel_bytes", "block_pixel_bytes", "served_bytes")
        )
        print(f"{name:14}{counts}{found['requests']:10}{found['records']:9}  {', '.join(found['ir_bands'])}")
    print(path, file=sys.stderr)
    return result


if __name__ == "__main__":
    main()
