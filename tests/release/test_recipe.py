"""How a release was built: enough to build it again, and nothing of the machine or its secrets."""

import json
from pathlib import Path
from typing import Any

import pytest
import tomlkit
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder import config
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.release import recipe
from fusionrs_builder.settings import CorpusSettings, PushSettings, TranslateSettings
from fusionrs_builder.workspace import Workspace

from .conftest import contents, lay, push, record

PUSH = PushSettings()

SECRETS = (
    "/home/ada/hunter2/scenes",
    "~/hunter2/scenes",
    "$HOME/hunter2/scenes",
    r"C:\Users\ada\hunter2\scenes",
    r"\\server-of-ada\hunter2\scenes",
    "file:///home/ada/hunter2/scenes",
    "s3://ada-bucket/hunter2/scenes",
    "gs://ada:hunter2@bucket/scenes",
    "https://ada:hunter2@example.org/scenes?token=hunter2#hunter2",
    "see https://ada:hunter2@example.org/scenes and s3://ada-bucket/hunter2/scenes",
    "hf://ada:hunter2@models/scenes",
)
"""What must not come out, in every form; `scenes` may."""

KEYS = sorted({field.alias or name for name, field in CorpusSettings.model_fields.items()})


def accepted(values: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    """The given corpus settings that are valid, one key at a time, and the key."""
    found = []
    for key, value in values.items():
        try:
            config.parse({"corpora": {"a": {key: value}}}, "test")
        except UsageError:
            continue
        found.append(({key: value}, key))
    return found


def wherever(secret: str) -> list[dict[str, Any]]:
    """The secret in every key of a corpus that takes a text, a list or a table of them."""
    found: dict[str, dict[str, Any]] = {}
    for shape in (secret, [secret], {"red": secret}, {"image": secret}):
        for values, key in accepted(dict.fromkeys(KEYS, shape)):
            if not isinstance(shape, str) or key not in found:
                found[key] = values
    assert {"from", "stac_url", "index", "sources", "annotations", "masks", "splits"} <= set(found)
    return list(found.values())


def noted(values: dict[str, Any]) -> dict[str, Any]:
    """What fusionrs.lock keeps of a corpus, and what else it might."""
    return CorpusSettings.model_validate(values).model_dump(mode="json", by_alias=True)


@pytest.mark.parametrize("secret", SECRETS)
def test_nothing_of_the_machine_and_no_secret_is_in_it(workspace: Workspace, secret: str) -> None:
    for values in wherever(secret):
        tables = {
            "corpora": {"a": values, "dropped-by-ada": {"from": secret}},
            "translate": {"translator": secret},
            "caption": {"model": secret, "prompt": secret},
        }
        workspace.write_bytes("fusionrs.toml", tomlkit.dumps(tables).encode())
        lock = {
            "corpora": {"a": noted(values), "dropped-by-ada": {"title": secret}},
            "published": {"a": {"files": 1, "sha256": "ab", "where": secret}, "dropped-by-ada": {}},
            "stages": {
                "translate": {"version": 1, "params": {"translator": {"source": secret, "command": [secret]}}},
                "caption": {"version": 1, "params": {"model": secret}},
                "push": {"version": 1, "params": {}},
            },
            "version": "1",
        }
        workspace.write_json("fusionrs.lock", lock)
        text = "".join(recipe.of(workspace, PUSH, ["a"]).texts().values())
        for word in ("hunter2", "ada"):
            assert word not in text, (values, [line for line in text.splitlines() if word in line])


@pytest.mark.parametrize(
    ("text", "public"),
    [
        ("/data/scenes", "scenes"),
        ("/data/scenes/", "scenes"),
        ("../labels/{stem}.xml", "../labels/{stem}.xml"),
        ("*_ms.tif", "*_ms.tif"),
        ("https://example.org/a/b?x=1#y", "https://example.org/a/b"),
        ("https://example.org/@ada/b", "https://example.org/@ada/b"),
        ("https://doi.org/10.1000/182", "https://doi.org/10.1000/182"),
        ("hf://org/name@0123abc", "hf://org/name@0123abc"),
        ("gs://bucket/a/b.tif", "b.tif"),
        ("CC BY 4.0, see https://example.org/licence", "CC BY 4.0, see https://example.org/licence"),
        ("and/or", "and/or"),
        ("", ""),
    ],
)
def test_of_a_path_the_name_stays(text: str, public: str) -> None:
    assert recipe.public_text(text) == public
    assert recipe.public_text(public) == public


@given(st.text())
def test_every_text_has_a_public_form(text: str) -> None:
    assert len(recipe.public_text(text)) <= len(text)


def test_a_secret_of_the_publisher_is_refused_and_not_repeated(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match="push.url: an address with a user name or password") as error:
        config.update(workspace, ("push",), {"url": "https://ada:hunter2@example.org/data"})
    assert "hunter2" not in str(error.value)
    assert config.update(workspace, ("push",), {"url": "https://example.org/@ada"}).push.url.endswith("@ada")


def test_it_tells_every_setting_exactly(workspace: Workspace) -> None:
    """The registry, or a default, may be another when somebody builds again."""
    given = {
        **{"license": "MIT", "format": "pairs", "split_pattern": "/(?P<split>train|val)/", "stretch": {"nir": [0, 9]}},
        **{"tile": 64, "overlap": 8, "labels": ["ship"], "year": 2020, "bbox": [1.0, 2.0, 3.0, 4.0], "min_side": 20},
    }
    tables = {"corpora": {"a": given}, "build": {"shard_records": 7}, "translate": {"translator": "gray"}}
    workspace.write_bytes("fusionrs.toml", tomlkit.dumps(tables).encode())
    place = ("bbox", "year", "max_scenes", "source")
    workspace.write_json("fusionrs.lock", {"corpora": {"a": {k: v for k, v in noted(given).items() if k not in place}}})
    found = recipe.of(workspace, PUSH, ["a"])
    assert found.settings["corpora"] == {"a": given}
    assert found.settings["build"]["shard_records"] == 7 and found.settings["build"]["shard_mb"] == 256
    assert found.settings["translate"] == TranslateSettings(translator="gray").model_dump()
    again = config.parse(json.loads(json.dumps(found.tables())), "test")
    assert again.corpora["a"].model_dump() == config.load(workspace).corpora["a"].model_dump()
    assert {"border", "include", "redistributable"} <= again.corpora["a"].model_fields_set  # the registry is not asked


def test_only_what_is_in_the_release_is_told(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x")], "b-00000": [record("y", keep=False, reason="blank: y")]})
    workspace.write_json(
        "fusionrs.lock",
        {"corpora": {"a": {"license": "MIT"}, "b": {}}, "published": {"a": {"files": 1}, "b": {"files": 2}}},
    )
    push(workspace)
    found = recipe.read(workspace, "release/fusionrs")
    assert list(found.settings["corpora"]) == list(found.lock["corpora"]) == list(found.lock["published"]) == ["a"]
    assert found.push.license_policy == "any"
    assert [each["layer"] for each in found.funnel] == ["rgb", "ir", "captions", "curation"]


def test_it_is_the_same_from_any_folder(tmp_path: Path) -> None:
    made = []
    for name in ("ada", "bob"):
        workspace = Workspace.open(tmp_path / name, create=True)
        lay(workspace, {"a-00000": [record("x")]})
        own = {"from": str(tmp_path / name / "a"), "format": "voc"}
        translator = str(tmp_path / name / "mine")
        config.update(workspace, ("corpora", "a"), own)
        config.update(workspace, ("translate",), {"translator": translator})
        push(workspace)
        made.append(contents(Path(workspace.path("release"))))
    assert made[0] == made[1]
    told = made[0]["fusionrs/recipe/fusionrs.toml"].decode()
    assert 'translator = "mine"' in told and "from" not in told


def test_the_translator_is_told_of(workspace: Workspace) -> None:
    params = {"translator": {"source": "nir-small@0123456789ab", "band": "nir", "sha256": "0123"}}
    lay(workspace, {"a-00000": [record("x")]})
    workspace.write_json("fusionrs.lock", {"stages": {"translate": {"version": 3, "params": params}}})
    push(workspace)
    assert recipe.read(workspace, "release/fusionrs").stages["translate"] == params
    assert b"nir-small@0123456789ab" in workspace.read_bytes("release/fusionrs/README.md")


@pytest.mark.parametrize("name", [recipe.SETTINGS, recipe.LOCK, recipe.REPORT])
@pytest.mark.parametrize("damage", ["gone", "[", "{}", "\xff"])
def test_a_damaged_recipe_is_told(workspace: Workspace, name: str, damage: str) -> None:
    lay(workspace, {"a-00000": [record("x")]})
    push(workspace)
    path = Path(workspace.path("release/fusionrs", name))
    if damage == "gone":
        path.unlink()
    else:
        path.write_text(damage, encoding="latin-1")
    if damage == "{}" and name == recipe.LOCK:
        assert recipe.read(workspace, "release/fusionrs").stages == {}  # an empty lock is none
        return
    with pytest.raises(FusionError, match="recipe is not what `fusionrs-build push` wrote.*fetch the release again"):
        recipe.read(workspace, "release/fusionrs")


def test_what_a_caption_setting_may_hold_is_not_in_the_settings(workspace: Workspace) -> None:
    """Addresses of servers, prices and limits are nobody's business, and no record looks otherwise for them."""
    config.update(workspace, ("caption",), {"base_url": "http://10.0.0.7:8000/v1", "max_usd": 3.0})
    lay(workspace, {"a-00000": [record("x")]})
    push(workspace)
    text = "".join(recipe.read(workspace, "release/fusionrs").texts().values())
    assert "10.0.0.7" not in text and "max_usd" not in text
