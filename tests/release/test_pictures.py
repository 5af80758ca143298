"""The pictures of a workspace, taken only where their pixels are those that a release tells of."""

from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder import pixels, shards
from fusionrs_builder.release.pictures import HELD, LackingError, Pictures
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace

from .conftest import Record, lay, picture, record


def whole(key: str, side: int = 16, **special: Any) -> Record:
    """A record that tells the hash of its infrared view, too."""
    ir_sha256 = pixels.pixel_sha256(picture("ir" + key, side, 1))
    return record(key, side=side, **{"ir_sha256": ir_sha256, **special})


def row(key: str, corpus: str = "a", **special: Any) -> Record:
    """What a release tells of it."""
    return {
        "id": f"{corpus}/{key}",
        "corpus": corpus,
        "source_url": "https://example.org",
        "source_revision": "v1",
        **{name: whole(key)[name] for name in ("pixel_sha256", "ir_sha256", "ir_origin", "ir_source")},
        **special,
    }


def other(text: str) -> Record:
    return {"bytes": pixels.encode_png(picture(text, 16, 3)), "path": "other.png"}


def test_pictures_come_as_they_stand(workspace: Workspace) -> None:
    ir16 = {"bytes": b"\x89PNG", "path": "16.png"}
    thermal = {"rgb": None, "pixel_sha256": whole("y")["ir_sha256"]}
    lay(workspace, {"a-00000": [whole("x", ir16=ir16), whole("y", **thermal)]})
    pictures = Pictures(workspace)
    assert pictures.verified(row("x")) == {name: whole("x", ir16=ir16).get(name) for name in ("rgb", "ir", "ir16")}
    found = pictures.verified(row("y", pixel_sha256=thermal["pixel_sha256"]))
    assert found == {"rgb": None, "ir": whole("y")["ir"], "ir16": None}


@pytest.mark.parametrize(
    ("special", "asked", "kind", "words"),
    [
        ({}, row("z"), "missing", "a/z is not in your copy of a"),
        ({}, row("x", corpus="b"), "corpus", "b: no copy of it is at hand: name yours by --from b=PATH"),
        (
            {"rgb": other("not x")},
            row("x"),
            "other",
            "a/x has other pixels in your copy of a than in revision v1 of https://example.org",
        ),
        (
            {"rgb": other("not x")},
            row("x", source_url=None, source_revision=None),
            "other",
            "not stated of unknown source",
        ),
        ({"rgb": {"bytes": b"no image", "path": "x"}}, row("x"), "damaged", "a/x cannot be decoded: "),
        ({"ir": {"bytes": b"no image", "path": "x"}}, row("x"), "damaged", "a/x cannot be decoded: "),
        ({"ir": {"bytes": None, "path": "x"}}, row("x"), "damaged", "a/x cannot be decoded: "),
        ({"ir": None}, row("x"), "refused", "a/x has no infrared view"),
        ({"ir": None, "rgb": None}, row("x"), "refused", "a/x has no infrared view"),
        (
            {"ir": other("not x")},
            row("x"),
            "drawn otherwise",
            "drawn otherwise: by another translator than gray@0123456789",
        ),
        (
            {"ir": other("not x")},
            row("x", ir_origin="measured"),
            "other infrared",
            "view of a/x has other pixels in your",
        ),
    ],
)
def test_what_does_not_agree_is_told(
    workspace: Workspace, special: Record, asked: Record, kind: str, words: str
) -> None:
    lay(workspace, {"a-00000": [whole("before"), whole("x", **special)]})
    with pytest.raises(LackingError) as error:
        Pictures(workspace).verified(asked)
    assert error.value.kind == kind
    assert words in str(error.value)
    Pictures(workspace).verified(row("before"))


def test_what_could_not_be_read_says_why(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [whole("x")]})
    with workspace.writer("rejects", "a-00000") as writer:
        writer.write({"key": "z", "reason": "unreadable_image", "message": "z: no known image format", "files": []})
        writer.commit(Footer("download", "f", items=1))
    with pytest.raises(LackingError, match="a/z cannot be read in your copy of a: z: no known image format"):
        Pictures(workspace).verified(row("z"))


def test_few_row_groups_are_held(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_ROWS", 2)
    keys = [f"{n}" for n in range(20)]
    lay(workspace, {"a-00000": [whole(key) for key in keys[:10]], "a-00001": [whole(key) for key in keys[10:]]})
    pictures = Pictures(workspace)
    opened: list[str] = []
    usual = workspace.fs.open

    def counted(path: str, *rest: Any) -> Any:
        opened.append(Path(path).parent.name)
        return usual(path, *rest)

    monkeypatch.setattr(workspace.fs, "open", counted)
    for key in keys:
        assert pictures.verified(row(key))["ir"] == whole(key)["ir"]
        assert len(pictures._held) <= HELD
    # In the order of the shards every row group is read once, and the ends of the row groups of each file.
    assert (opened.count("rgb"), opened.count("ir")) == (10 + 2, 10 + 2)
    for key in (keys[17], keys[0], keys[9], keys[19], keys[3]):
        assert pictures.verified(row(key))["rgb"] == whole(key)["rgb"]
