"""How a release was built, kept in it, without anyone's paths.

recipe/fusionrs.toml    settings of the corpora that are in it, and of the stages that harmonise and draw
recipe/fusionrs.lock    revisions, hashes of files and weights, parameters of the stages
recipe/report.json      settings of the release, the funnel, what curate found

`rebuild` starts from them, and whatever describes the release (`describe.py`) is written from them.
"""

import json
from collections.abc import Mapping, Sequence
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

PRIVATE = frozenset({"from", "source", "sources", "index", "stac_url", "base_url"})
"""Keys that hold a path of this machine, or an address that may hold a password."""


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
    given = config.load(workspace).model_dump(mode="json", by_alias=True, exclude_unset=True)
    lock = _public(workspace.read_json("fusionrs.lock", {}))
    tables = {
        "build": given.get("build", {}),
        "corpora": {name: _told(lock.get("corpora", {}).get(name, {})) for name in corpora},
        "translate": given.get("translate", {}),
    }
    if "corpora" in lock:
        lock["corpora"] = {name: each for name, each in lock["corpora"].items() if name in corpora}
    if "stages" in lock:
        lock["stages"] = {name: each for name, each in lock["stages"].items() if name != "push"}  # noted afterwards
    return Recipe(
        {name: table for name, table in tables.items() if table},
        lock,
        push,
        facts.funnel(workspace),
        workspace.read_json(LEAKAGE, {}),
    )


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


def _told(corpus: Mapping[str, Any]) -> dict[str, Any]:
    """What the lock says of a corpus, the stretch of its bands too, as far as it is not the default."""
    defaults = CorpusSettings().model_dump(mode="json", by_alias=True)
    return {key: value for key, value in corpus.items() if key in defaults and value != defaults[key]}


def _public(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _public(each) for key, each in value.items() if key not in PRIVATE and each is not None}
    return [_public(each) for each in value] if isinstance(value, list) else value
