"""Layouts told by their annotation files: tables, JSON, XML, tars, a text file an image."""

import csv
import itertools
import posixpath
import re
from collections.abc import Iterator

import ijson
import pyarrow as pa
import pyarrow.parquet as pq

from fusionrs_builder.corpora import json_stream, tables
from fusionrs_builder.corpora.auto.glimpse import Glimpse, Layout
from fusionrs_builder.corpora.formats.caption_json import CAPTION_KEYS, IMAGE_KEYS
from fusionrs_builder.corpora.reader import stem

LOOKED_AT = 24
"""Annotation files of a kind that are opened."""

EVENTS = 20_000
"""Parts of a JSON file that are looked at."""

HEAD = 4096

BESIDE = ("{stem}.txt", "../labelTxt/{stem}.txt", "../labels/{stem}.txt", "../annotations/{stem}.txt",
          "../annfiles/{stem}.txt", "../Annotations/{stem}.txt")  # fmt: skip
"""Where the text file of an image lies, seen from the image."""

DOTA = re.compile(r"^(?:-?[\d.]+\s+){8}\S*[A-Za-z]\S*\s+\d+\s*$")
YOLO = re.compile(r"^\d+(?:\s+(?:0?\.\d+|[01](?:\.\d+)?)){4}\s*$")
VISDRONE = re.compile(r"^-?\d+(?:,-?\d+){7},?\s*$")


def parquet(seen: Glimpse) -> Layout | None:
    """Parquet with a column of encoded images."""
    for path in seen.having(".parquet")[:LOOKED_AT]:
        try:
            schema = pq.read_schema(seen.root / path)
        except (OSError, pa.ArrowException):
            continue
        for column in schema:
            if pa.types.is_struct(column.type) and {"bytes", "path"} <= {each.name for each in column.type}:
                return Layout("parquet", f"{path} with encoded images in its column {column.name}")
    return None


def webdataset(seen: Glimpse) -> Layout | None:
    """Tars of images and texts that share a key."""
    tars = seen.having(".tar")
    return Layout("webdataset", f"{len(tars)} tars, such as {tars[0]}") if tars and not seen.images else None


def json_captions(seen: Glimpse) -> Layout | None:
    """One of the shapes of captions or boxes in JSON."""
    found: list[Layout] = []
    for path in seen.having(".json", ".jsonl", ".ndjson")[:LOOKED_AT]:
        if layout := _json_shape(seen, path):
            found.append(layout)
    order = ("karpathy", "class-json", "conversations", "coco", "caption-json")
    return min(found, key=lambda layout: order.index(layout.format)) if found else None


def _json_shape(seen: Glimpse, path: str) -> Layout | None:
    """The layout of one file, by the keys of the first records it holds."""
    tops: set[str] = set()
    keys: dict[str, set[str]] = {}
    listed: set[str] = set()
    try:
        with (seen.root / path).open("rb") as handle:
            events = json_stream.events(handle, multiple_values=True)
            for prefix, event, value in itertools.islice(events, EVENTS):
                if event == "map_key":
                    if prefix == "":
                        tops.add(value)
                    keys.setdefault(prefix, set()).add(value)
                elif prefix in ("images.item.file_name", "images.item.filename"):
                    listed.add(str(value).rpartition("/")[2])
    except (OSError, ValueError, ijson.JSONError):
        pass  # what was seen up to here still tells
    images = keys.get("images.item", set())
    if {"filename", "sentences"} <= images:
        return Layout("karpathy", f"{path} with a list `images` of filename and sentences")
    if images & {"file_name", "filename"} and images & {"id", "width", "height"} and _some_here(seen, listed):
        return Layout("coco", f"{path} with lists of images and their annotations")
    item = keys.get("item", set())
    if {"conversations", "image"} <= item | tops:
        return Layout("conversations", f"{path} with conversations about images")
    for prefix, names in keys.items():
        if prefix.endswith(".item") and {"filename", "raw"} <= names:
            return Layout("class-json", f"{path} with captions under the names of classes")
    for names in (item, tops):
        if names & set(IMAGE_KEYS) and names & set(CAPTION_KEYS):
            return Layout("caption-json", f"{path} with image and caption side by side")
    return None


def _some_here(seen: Glimpse, listed: set[str]) -> bool:
    """Whether images that a file lists may be those of the folder: examples of a format may list others."""
    return seen.cut or not seen.images or any(path.rpartition("/")[2] in listed for path in seen.images)


def caption_table(seen: Glimpse) -> Layout | None:
    """A .csv or .tsv whose first line names a column of images and one of captions."""
    for path in seen.having(".csv", ".tsv")[:LOOKED_AT]:
        try:
            head = (seen.root / path).open("rb").read(HEAD).decode("utf-8-sig")
        except (OSError, UnicodeDecodeError):
            continue
        lines = head.splitlines()
        names = next(csv.reader(lines[:1], delimiter="\t" if "\t" in lines[0] else ","), []) if lines else []
        image = next((name for name in names if name in tables.IMAGE_COLUMNS), None)
        caption = next((name for name in names if name in tables.CAPTION_COLUMNS), None)
        if image and caption:
            return Layout("caption-csv", f"{path} with columns {image} and {caption}", {"captions": path})
    return None


def voc(seen: Glimpse) -> Layout | None:
    """XML files with objects in boxes."""
    for path in seen.having(".xml")[:LOOKED_AT]:
        with (seen.root / path).open("rb") as handle:
            head = handle.read(HEAD)
        if re.search(rb"<(annotation|HRSC_Image)[\s>]", head):
            if not seen.images:
                return None
            hints = ("the images are grey: if they are infrared, add --modality ir --band lwir (or nir)",)
            return Layout("voc", f"XML annotations, such as {path}", hints=hints if seen.all_grey() else ())
    return None


def lines_an_image(seen: Glimpse) -> Layout | None:
    """A text file an image: rotated boxes (DOTA), or numbers between blanks or commas (YOLO, VisDrone)."""
    for template in BESIDE:
        beside = [_beside(path, template) for path in seen.images[:: max(1, len(seen.images) // LOOKED_AT)]]
        there = [path for path in beside if seen.exists(path)]
        for line in itertools.chain.from_iterable(_lines(seen, path) for path in there[:LOOKED_AT]):
            if DOTA.match(line):
                return Layout("dota", f"{there[0]}: eight numbers, a class, a number", {"annotations": template})
            if YOLO.match(line):
                saw = f"{there[0]}: a class and a box in parts of the image (YOLO)"
                return Layout("delimited", saw, {"annotations": template}, (NAMES,))
            if VISDRONE.match(line):
                saw = f"{there[0]}: eight numbers between commas (VisDrone)"
                return Layout("delimited", saw, {"annotations": template}, (NAMES,))
    return None


NAMES = "classes are numbers: name them with --classes 0=person,1=car"


def _beside(image: str, template: str) -> str:
    folder, _, name = image.rpartition("/")
    return posixpath.normpath(posixpath.join(folder, template.format(stem=stem(name))))


def _lines(seen: Glimpse, path: str) -> Iterator[str]:
    with (seen.root / path).open("rb") as handle:
        yield from handle.read(HEAD).decode("utf-8", "replace").splitlines()[:10]
