"""How a release was built, kept in it, without anyone's paths and passwords.

recipe/fusionrs.toml    settings of the corpora that are in it, and of the stages that harmonise and draw
recipe/fusionrs.lock    revisions, hashes of files and weights, all settings of the corpora, parameters of the stages
recipe/report.json      settings of the release, the funnel, what curate found

`rebuild` starts from them, and whatever describes the release (`describe.py`) is written from them.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit

from fusionrs_builder import config
from fusionrs_builder.errors import FusionError
from fusionrs_builder.files import Files
from fusionrs_builder.release.documents import facts
from fusionrs_builder.settings import CorpusSettings, PushSettings
from fusionrs_builder.workspace import Workspace

FOLDER = "recipe"
SETTINGS, LOCK, REPORT = (f"{FOLDER}/{name}" for name in ("fusionrs.toml", "fusionrs.lock", "report.json"))

LEAKAGE = "curation/report.json"
"""What curate says of groups and splits."""

PRIVATE = frozenset({"from", "source", "sources", "index", "stac_url"})
"""Keys of a corpus that say where somebody's copy lies, or which catalogue somebody may use."""

PLACE = {"bbox", "year", "max_scenes"}
"""Keys of a corpus that is cut out of a catalogue: what to fetch, which the lock leaves out."""

PATTERNS = frozenset({"acquired", "split_pattern", "group_pattern", "label_pattern", "pair_key"})
"""Keys of a corpus that hold a regular expression, which may begin as a path does."""

PATH = re.compile(r"[/~$\\]|[A-Za-z]:[\\/]")
"""How a path that is not relative begins."""

ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*)://([^\s'\"<>]+)", re.IGNORECASE)

PUBLIC = frozenset({"http", "https", "hf", "doi"})
"""Addresses that others may follow; what others name is a bucket, or a file of this machine."""


@dataclass(frozen=True)
class Recipe:
    """What the three files hold.

    Attributes:
        settings: tables of fusionrs.toml.
        lock: tables of fusionrs.lock.
        push: of the release.
        funnel: items by layer, see `facts.funnel`.
        leakage: what curate found; empty where it did not say.
    """

    settings: Mapping[str, Any]
    lock: Mapping[str, Any]
    push: PushSettings
    funnel: Sequence[Mapping[str, Any]]
    leakage: Mapping[str, Any]

    @property
    def stages(self) -> dict[str, Any]:
        """Parameters of the stages between the corpora and the release."""
        kept = self.lock.get("stages", {})
        return {name: kept[name]["params"] for name in ("translate", "caption", "curate") if name in kept}

    def tables(self) -> dict[str, Any]:
        """fusionrs.toml with every setting of its corpora as it was, whatever the registry says now."""
        exact = self.lock.get("corpora", {})
        corpora = {name: {**exact.get(name, {}), **told} for name, told in self.settings.get("corpora", {}).items()}
        return {**self.settings, "corpora": corpora}

    def texts(self) -> dict[str, str]:
        """The files, by path in the release; the same for the same recipe."""
        report = {
            "settings": self.push.model_dump(mode="json"),
            "funnel": list(self.funnel),
            "leakage": dict(self.leakage),
        }
        return {SETTINGS: tomlkit.dumps(self.settings), LOCK: _json(self.lock), REPORT: _json(report)}


def of(workspace: Workspace, push: PushSettings, corpora: Sequence[str]) -> Recipe:
    """The recipe of a workspace, as far as it decides what the records of some corpora look like."""
    given = config.load(workspace)
    lock = _public(workspace.read_json("fusionrs.lock", {}))
    for table in ("corpora", "published"):
        if table in lock:
            lock[table] = {name: _without(PRIVATE, each) for name, each in lock[table].items() if name in corpora}
    if "stages" in lock:
        lock["stages"] = _without({"push"}, lock["stages"])  # noted once the release is begun
    tables = {
        "build": given.build.model_dump(mode="json"),
        "corpora": {name: _told(lock.get("corpora", {}).get(name, {}), given.corpora.get(name)) for name in corpora},
        "translate": _public(given.translate.model_dump(mode="json")),
    }
    return Recipe(tables, lock, push, facts.funnel(workspace), workspace.read_json(LEAKAGE, {}))


def read(files: Files, folder: str) -> Recipe:
    """The recipe that a release holds.

    Raises:
        FusionError: a file is missing or damaged.
    """
    try:
        report = json.loads(files.read_bytes(f"{folder}/{REPORT}"))
        return Recipe(
            tomlkit.parse(files.read_bytes(f"{folder}/{SETTINGS}").decode()).unwrap(),
            json.loads(files.read_bytes(f"{folder}/{LOCK}")),
            PushSettings.model_validate(report["settings"]),
            report["funnel"],
            report["leakage"],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise FusionError(
            f"{files.path(folder, FOLDER)} is not what `fusionrs-build push` wrote ({type(error).__name__}: {error}): "
            "fetch the release again, or push anew"
        ) from error


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _told(noted: Mapping[str, Any], given: CorpusSettings | None) -> dict[str, Any]:
    """What the lock says of a corpus, the stretch of its bands too, as far as it is not the default; and its place."""
    defaults = CorpusSettings().model_dump(mode="json", by_alias=True)
    told = {key: value for key, value in noted.items() if key in defaults and value != defaults[key]}
    place = given.model_dump(mode="json", include=PLACE, exclude_unset=True) if given else {}
    return {**told, **_public(place)}


def _without(keys: Iterable[str], table: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if key not in keys}


def _public(value: Any) -> Any:
    """A value without what is of this machine or secret, in whatever text of it that stands, and without nulls."""
    if isinstance(value, dict):
        return {key: each if key in PATTERNS else _public(each) for key, each in value.items() if each is not None}
    if isinstance(value, list):
        return [_public(each) for each in value]
    return public_text(value) if isinstance(value, str) else value


def public_text(text: str) -> str:
    """A text of which others may know: of a path or a bucket the last name, of an address neither user nor query."""
    if PATH.match(text):
        return _last(text)
    return ADDRESS.sub(_address, text)


def _address(found: re.Match[str]) -> str:
    scheme, rest = found[1], re.split(r"[?#]", found[2], maxsplit=1)[0]
    return f"{scheme}://{re.sub(r'^[^/]*@', '', rest)}" if scheme.lower() in PUBLIC else _last(rest)


def _last(path: str) -> str:
    return re.split(r"[\\/]", path.rstrip("\\/"))[-1]
