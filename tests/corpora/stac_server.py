"""A STAC API on loopback with cloud-optimised GeoTIFFs behind HTTP Range, which counts what it serves.

It does what catalogues do: a landing page, conformance, POST /search in pages with a next link, tokens that assets need
and that expire; and what they do when they fail: the next answers of a path can be set.
"""

import contextlib
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import rasterio
import rasterio.coords
import rasterio.warp
from numpy.typing import NDArray
from rasterio.transform import Affine, array_bounds

CONFORMS = [
    "https://api.stacspec.org/v1.0.0/core",
    "https://api.stacspec.org/v1.0.0/item-search",
    "https://api.stacspec.org/v1.0.0/collections",
    "https://api.stacspec.org/v1.0.0/item-search#query",
]

PIECE = 16_384
"""Bytes handed to the socket at a time: a client that hangs up is not counted what it did not take."""

PAGE = 2
"""Items a page, so that a few make several."""


def write_cog(path: Path, values: NDArray[Any], transform: Affine, crs: str = "EPSG:32614", **keys: Any) -> None:
    """A cloud-optimised GeoTIFF with overviews of bands [N, H, W]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="COG", width=width, height=height, count=count, dtype=values.dtype, crs=crs,
        transform=transform, compress="deflate", **{"blocksize": 256, **keys},
    ) as sink:  # fmt: skip
        sink.write(values)


class StacServer:
    """A catalogue whose assets lie below a folder.

    Attributes:
        url: of the API.
        items: all items; their assets' addresses are made with `asset`.
        served: bytes of bodies by path; `requests` counts them.
        searches: bodies of the searches.
        tokens: what assets may be read with; empty where they need none.
        fail: status codes to answer next, by path: each is used once.
        drop: bytes after which the line is cut in the next answers, by path: each is used once.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.items = folder, list[dict[str, Any]]()
        self.served, self.requests = Counter[str](), Counter[str]()
        self.searches: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.token_life_s = 3600.0
        self.fail: dict[str, list[int]] = {}
        self.drop: dict[str, list[int]] = {}
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"server_of": self}))
        self.url = f"http://127.0.0.1:{self._http.server_port}/api"

    @contextmanager
    def running(self) -> Iterator["StacServer"]:
        thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()

    def asset(self, path: str, **keys: Any) -> dict[str, Any]:
        return {"href": self.url.replace("/api", f"/data/{path}"), "type": "image/tiff", **keys}

    def add(self, id: str, collection: str, assets: dict[str, Any], when: str, **properties: Any) -> None:
        """An item with the footprint of its first asset."""
        first = next(iter(assets.values()))
        with rasterio.open(self.folder / first["href"].split("/data/")[1]) as source:
            bounds = array_bounds(source.height, source.width, source.transform)
            west, south, east, north = rasterio.warp.transform_bounds(source.crs, "EPSG:4326", *bounds)
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        self.items.append(
            {
                "type": "Feature", "stac_version": "1.0.0", "id": id, "collection": collection,
                "bbox": [west, south, east, north], "geometry": {"type": "Polygon", "coordinates": [ring]},
                "properties": {"datetime": when, **properties}, "assets": assets, "links": [],
            }
        )  # fmt: skip

    def found(self, asked: dict[str, Any]) -> list[dict[str, Any]]:
        """The items that a search asks for."""
        first, last = (asked.get("datetime") or "0000/9999").split("/")
        return [
            item
            for item in self.items
            if item["collection"] in asked["collections"]
            and first[:10] <= item["properties"]["datetime"][:10] <= last[:10]
            and not rasterio.coords.disjoint_bounds(item["bbox"], asked["bbox"])
        ]


class _Handler(BaseHTTPRequestHandler):
    server_of: StacServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server, path, query = self.server_of, urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        if server.fail.get(path):
            self._answer(server.fail[path].pop(0), b"out of order")
        elif path == "/api":
            places = {"search": "/search", "self": "", "root": "", "data": "/collections"}
            links = [{"rel": name, "href": server.url + place} for name, place in places.items()]
            links[0] |= {"method": "POST", "type": "application/geo+json"}
            self._json({"type": "Catalog", "id": "loopback", "stac_version": "1.0.0", "description": "of tests",
                        "conformsTo": CONFORMS, "links": links})  # fmt: skip
        elif path == "/token":
            token = f"sig=secret-{len(server.tokens)}-{time.time_ns()}"
            server.tokens.append(token)
            until = time.gmtime(time.time() + server.token_life_s)
            self._json({"token": token, "msft:expiry": time.strftime("%Y-%m-%dT%H:%M:%SZ", until)})
        elif path.startswith("/data/"):
            held = [f"sig={value}" for value in query.get("sig", [])]
            if server.tokens and held != server.tokens[-1:]:
                self._answer(403, b"no token")
            else:
                self._file(server.folder / path.removeprefix("/data/"))
        else:
            self._answer(404, b"not here")

    def do_POST(self) -> None:
        server, asked = self.server_of, json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        if server.fail.get(path):
            self._answer(server.fail[path].pop(0), b"out of order")
            return
        server.searches.append(asked)
        found, start = server.found(asked), int(asked.get("token", 0))
        links = []
        if start + PAGE < len(found):
            links = [{"rel": "next", "href": f"{server.url}/search", "method": "POST",
                      "body": {**asked, "token": start + PAGE}}]  # fmt: skip
        self._json({"type": "FeatureCollection", "features": found[start : start + PAGE], "links": links})

    def _file(self, path: Path) -> None:
        if not path.is_file():
            self._answer(404, b"not here")
            return
        size = path.stat().st_size
        span = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        first = int(span[1]) if span else 0
        last = min(int(span[2]) if span and span[2] else size - 1, size - 1)
        if first > last:
            self._answer(416, b"")
            return
        with path.open("rb") as handle:
            handle.seek(first)
            body = handle.read(last - first + 1)
        headers = {"Content-Range": f"bytes {first}-{last}/{size}"} if span else {}
        self._answer(206 if span else 200, body, **headers, **{"Accept-Ranges": "bytes"})

    def _json(self, value: Any) -> None:
        self._answer(200, json.dumps(value).encode(), **{"Content-Type": "application/json"})

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        path = urlsplit(self.path).path
        self.server_of.requests[path] += 1
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and self.server_of.drop.get(path):
            body = body[: self.server_of.drop[path].pop(0)]
            self.close_connection = True
        try:
            for start in range(0, len(body), PIECE):
                self.wfile.write(body[start : start + PIECE])
                self.server_of.served[path] += len(body[start : start + PIECE])
        except ConnectionError:
            self.close_connection = True  # the client has had enough

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *text: Any) -> None:
        """Nothing: the tests read what they need."""


def naip_like(server: StacServer, side: int = 2048, pixel: float = 0.6) -> str:
    """One aerial image of four 8-bit bands; returns its asset path. Values are noise: nothing compresses away."""
    values = np.random.default_rng(1).integers(30, 220, (4, side, side), dtype=np.uint8)
    write_cog(server.folder / "naip/m_3009743_ne.tif", values, Affine(pixel, 0, 620_000, 0, -pixel, 3_350_000))
    asset = server.asset("naip/m_3009743_ne.tif")
    server.add("tx_m_3009743_ne", "naip", {"image": asset}, "2020-05-01T00:00:00Z", gsd=pixel)
    return "naip/m_3009743_ne.tif"


LANDSAT = {"red": "SR_B4", "green": "SR_B3", "blue": "SR_B2", "nir08": "SR_B5", "swir16": "SR_B6", "lwir11": "ST_B10"}


def landsat_like(
    server: StacServer, side: int = 1024, id: str = "LC09_L2SP_027039_20220601", cloud: float = 3, kelvin: int = 44_177
) -> list[str]:
    """A scene of seven files at 30 m as Landsat Collection 2 Level 2 has them; returns their paths.

    Reflectance numbers are noise, the temperature `kelvin` plus the column; QA calls the first 8 columns cloud.
    """
    transform = Affine(30, 0, 600_000, 0, -30, 3_370_000)
    random = np.random.default_rng(2)
    assets, paths = {}, []
    for name, band in {**LANDSAT, "qa_pixel": "QA_PIXEL"}.items():
        values = random.integers(8_000, 20_000, (1, side, side), dtype=np.uint16)
        scaling = {"scale": 0.0000275, "offset": -0.2, "nodata": 0}
        if name == "lwir11":
            values[:] = kelvin + np.arange(side)
            values[:, :, :2] = 0
            scaling = {"scale": 0.00341802, "offset": 149.0, "nodata": 0, "unit": "kelvin"}
        if name == "qa_pixel":
            values[:] = 21_824
            values[:, :, :8] = 22_280
            scaling = {}
        path = f"landsat/{id}_{band}.TIF"
        write_cog(server.folder / path, values, transform, nodata=None if name == "qa_pixel" else 0)
        assets[name] = server.asset(path, **{"raster:bands": [{"data_type": "uint16", **scaling}]})
        paths.append(path)
    server.add(id, "landsat-c2-l2", assets, "2022-06-01T17:00:00Z", **{"eo:cloud_cover": cloud})
    return paths


def box_of(path: Path, window: tuple[int, int, int, int]) -> tuple[float, float, float, float]:
    """West, south, east, north of a box within some pixels of a raster: column, row, width, height."""
    with rasterio.open(path) as source:
        column, row, width, height = window
        left, top = source.transform @ (column, row)
        right, bottom = source.transform @ (column + width, row + height)
        crs = source.crs
    xs, ys = rasterio.warp.transform(crs, "EPSG:4326", [left, left, right, right], [bottom, top, bottom, top])
    return max(xs[:2]), max(ys[0], ys[2]), min(xs[2:]), min(ys[1], ys[3])
