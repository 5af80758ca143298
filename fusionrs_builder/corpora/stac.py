"""Imagery by place and year from a STAC catalogue: the clearest scenes, cut to the box, one GeoTIFF each.

A scene stands when its file and the JSON beside it do; `request.json` says for what they were asked. The same request
again reads nothing; another one takes what it shares and removes the rest.
"""

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from fusionrs_builder.corpora import raster
from fusionrs_builder.corpora.catalogue import Scene, chosen
from fusionrs_builder.corpora.cog import cut
from fusionrs_builder.corpora.reader import Refused
from fusionrs_builder.corpora.registry import Stac
from fusionrs_builder.corpora.signing import Signer, discreet, plain
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files
from fusionrs_builder.settings import CorpusSettings
from fusionrs_builder.stage import digest

FILES = "files"
"""Folder of the scenes."""

REQUEST = "request.json"


@dataclass
class Report:
    """What a request gave.

    Attributes:
        files: scenes that stand now.
        bytes: their size.
        sha256: of each, by its path below `folder/files`.
        fetched_files, fetched_bytes: of those, what was read by this call.
        kept_files: those that stood already.
        notes: scenes left out, and why.
    """

    files: int = 0
    bytes: int = 0
    sha256: dict[str, str] = field(default_factory=dict)
    fetched_files: int = 0
    fetched_bytes: int = 0
    kept_files: int = 0
    notes: list[str] = field(default_factory=list)

    def add(self, beside: Mapping[str, Any], fetched: bool) -> None:
        """Count a scene by what is said beside it."""
        self.files += 1
        self.bytes += beside["bytes"]
        self.sha256[beside["file"]] = beside["sha256"]
        self.fetched_files += fetched
        self.fetched_bytes += beside["bytes"] if fetched else 0
        self.kept_files += not fetched


@discreet()
def fetch_scenes(
    corpus: str,
    source: Stac,
    settings: CorpusSettings,
    folder: Path,
    progress: Callable[[int, int | None], None] = lambda count, total: None,
) -> Report:
    """Cut the clearest scenes of a place and year from a catalogue into `folder/files`.

    Args:
        corpus: its name, for errors.
        source: the catalogue.
        settings: `bbox`, `year`, `max_scenes`, and `stac_url` instead of the registry's address.
        folder: of the corpus.
        progress: called with the bytes of pixels that came since the last call; how many there will be is not known.

    Raises:
        UsageError: no bbox is given.
        FusionError: the catalogue does not answer or holds no such scene, or a file cannot be read.
    """
    if settings.bbox is None:
        raise UsageError(
            f"corpus {corpus}: say which place with --bbox W,S,E,N in degrees, e.g. -97.75,30.25,-97.70,30.30 "
            f"(key corpora.{corpus}.bbox)"
        )
    url = settings.stac_url or source.url
    asked = {"url": url, "bbox": settings.bbox, "year": settings.year, "max_scenes": settings.max_scenes}
    request = digest([asked, source.model_dump(mode="json", exclude={"url", "sign"})])
    files = Files(str(folder))
    report = Report()
    known = files.read_json(REQUEST, {})
    standing = [_standing(files, *scene) for scene in known.get("scenes", {}).items()]
    if known.get("request") == request and all(standing):
        report.notes = known["notes"]
        for beside in standing:
            report.add(beside, fetched=False)
        return report

    scenes = chosen(corpus, source, settings, url, report.notes)
    files.clean()
    _forget(files, {_name(scene) for scene in scenes})
    signer = Signer(source.sign if url == source.url else "")
    kept = {}
    for scene in scenes:
        wanted = digest([settings.bbox, _described(scene)])
        beside = _standing(files, _name(scene), wanted)
        fetched = not beside
        try:
            beside = beside or _fetch(files, scene, settings.bbox, wanted, signer, progress)
        except Refused as refused:
            report.notes.append(f"{scene.id}: left out, {refused.message}")
            continue
        except FusionError as error:
            raise FusionError(f"corpus {corpus}: scene {scene.id}: {error}") from None
        report.add(beside, fetched)
        kept[_name(scene)] = wanted
    if not kept:
        raise FusionError("\n".join([f"corpus {corpus}: no scene has data in the box; move --bbox", *report.notes]))
    files.write_json(REQUEST, {**asked, "url": plain(url), "request": request, "scenes": kept, "notes": report.notes})
    return report


def _described(scene: Scene) -> list[dict[str, Any]]:
    """Its bands, without what may be a token of today."""
    return [{**asdict(asset), "href": plain(asset.href)} for asset in scene.assets]


def _name(scene: Scene) -> str:
    """The file of a scene, below the corpus folder, without suffix."""
    return f"{FILES}/{re.sub(r'[^A-Za-z0-9_.-]+', '_', scene.id).lstrip('.') or '_'}"


def _standing(files: Files, name: str, wanted: str) -> dict[str, Any]:
    """What is said beside a scene that was cut as wanted and is whole; empty otherwise."""
    path = Path(files.path(f"{name}.tif"))
    beside: dict[str, Any] = files.read_json(f"{name}.json", {})
    stands = beside.get("cut") == wanted and path.is_file() and path.stat().st_size == beside["bytes"]
    return beside if stands else {}


def _forget(files: Files, names: set[str]) -> None:
    """Remove the scenes of an earlier request that this one does not ask for."""
    for beside in Path(files.path(FILES)).glob("*.json"):
        if f"{FILES}/{beside.stem}" not in names:
            beside.unlink()
            beside.with_suffix(".tif").unlink(missing_ok=True)


def _fetch(
    files: Files,
    scene: Scene,
    bbox: tuple[float, float, float, float],
    wanted: str,
    signer: Signer,
    progress: Callable[[int, int | None], None],
) -> dict[str, Any]:
    """Cut a scene; returns what is said beside it.

    Raises:
        Refused: it has no data in the box, or its bands do not fit together.
        FusionError: it cannot be read.
    """
    image = f"{_name(scene)}.tif"
    tags = {raster.ACQUIRED: scene.acquired, "ITEM": scene.id}
    temporary = files.temporary(image)
    try:
        with files.explained(image):
            found = cut(scene.assets, bbox, temporary, tags, signer, lambda count: progress(count, None))
        if not found.has_data:
            raise Refused("no_data", "no pixel has data in the box")
        with temporary.open("rb") as handle:
            sha256 = hashlib.file_digest(handle, "sha256").hexdigest()
        beside = {
            "file": image.removeprefix(f"{FILES}/"),
            "item": scene.id,
            "acquired": scene.acquired,
            "bbox": bbox,
            "window": found.window,
            "crs": found.crs,
            "bands": _described(scene),
            "bytes": temporary.stat().st_size,
            "sha256": sha256,
            "cut": wanted,
        }
        # Between the two moves the scene must not stand by what is said of another cut of it.
        Path(files.path(f"{_name(scene)}.json")).unlink(missing_ok=True)
        files.publish(temporary, image)
    finally:
        temporary.unlink(missing_ok=True)
    files.write_json(f"{_name(scene)}.json", beside)
    return beside
