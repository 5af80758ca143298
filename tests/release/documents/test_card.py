import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from fusionrs_builder.release.documents import card, facts
from fusionrs_builder.settings import PushSettings
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace

from ..conftest import contents, lay, push, record

EVIL = "a | b ``` <script>x</script>\n---\r\n# *head* [l](javascript:x) {{ 7*7 }} {% raw %} $$ \u2028 \u202e & : - ? \0"


def readme(workspace: Workspace) -> str:
    return workspace.read_bytes("release/fusionrs/README.md").decode()


def front(text: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text.split("---\n", 2)[1])
    return found


def tables(text: str) -> list[list[str]]:
    """The tables of a Markdown text: their lines, in order."""
    found: list[list[str]] = []
    for before, line in zip(["", *text.split("\n")], text.split("\n"), strict=False):
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            found[-1].append(line)
    return found


def cells(line: str) -> list[str]:
    return line.split("|")[1:-1]


def section(text: str, title: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    (table, *_) = tables(text.split(f" {title}\n", 1)[1])
    return [[cell.strip() for cell in cells(line)] for line in table[2:]]


def test_front_matter(filled: Workspace) -> None:
    push(filled)
    found = front(readme(filled))
    assert found["configs"] == [
        {
            "config_name": config,
            "data_files": [{"split": s, "path": f"{folder}/{s}-*.parquet"} for s in ("train", "validation", "test")],
        }
        for config, folder in (("default", "data"), ("text", "text"))
    ]
    for info in found["dataset_info"]:
        splits = {split["name"]: split["num_examples"] for split in info["splits"]}
        assert splits == {"train": 37, "validation": 4, "test": 4}
    pictures = [{f["name"] for f in info["features"]} & {"rgb", "ir", "ir16"} for info in found["dataset_info"]]
    assert pictures == [{"rgb", "ir", "ir16"}, set()]
    assert found["license"] == "other"
    assert found["license_name"]
    assert found["size_categories"] == ["n<1K"]
    assert found["language"] == ["en"]
    assert {"infrared", "nir", "lwir"} <= set(found["tags"])


def test_counts(filled: Workspace) -> None:
    push(filled)
    text = readme(filled)
    assert section(text, "Counts") == [
        ["eurosat", "16", "2", "2", "20"],
        ["hit-uav", "8", "1", "1", "10"],
        ["naip", "13", "1", "1", "15"],
        ["**all**", "37", "4", "4", "45"],
    ]
    assert section(text, "Infrared") == [
        ["measured", "lwir", "FLIR lwir", "10"],
        ["measured", "nir", "NAIP nir", "15"],
        ["translated", "(none)", "gray@0123456789ab", "20"],
    ]
    assert section(text, "Captions") == [["ir", "grounded@v1", "45"], ["scene", "grounded@v1", "45"]]
    assert section(text, "Licences") == [
        ["eurosat", "MIT", "yes", "20", "20", "(none)"],
        ["hit-uav", "CC-BY-4.0", "no", "10", "10", "HIT-UAV &#124; authors"],
        ["naip", "[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/)", "yes", "15", "15", "(none)"],
    ]
    assert "it must not be published" in text


def test_what_is_withheld_is_told(filled: Workspace) -> None:
    push(filled, license_policy="redistributable", contact="a@b.org")
    text = readme(filled)
    assert section(text, "Licences")[1] == ["hit-uav", "CC-BY-4.0", "no", "10", "0", "HIT-UAV &#124; authors"]
    assert "Of 10 records the pixels are not in it" in text
    assert "must not be published" not in text
    assert "take a record down: a@b.org" in text


def test_checks_prompts_and_leakage_are_told(filled: Workspace) -> None:
    leaks = {"groups_across_splits": 0, "groups_across_corpora": [{"corpora": ["naip", "eurosat"], "groups": 3}]}
    report = {
        "groups": {"count": 40, "of_several": 2},
        "leakage": {**leaks, "sentences": {"in_test": 7, "in_train_too": 1}},
    }
    filled.write_json("curation/report.json", report)
    push(filled)
    text = readme(filled)
    assert "**0 groups lie in more than one split**" in text
    assert "7 distinct sentences" in text
    assert "| naip, eurosat | 3 |" in text
    assert "| no-heat | 45 | 0 |" in text
    assert "`ab` (45 records)" in text


def test_a_configuration_for_every_corpus(filled: Workspace) -> None:
    from datasets import load_dataset

    push(filled, by_corpus=True)
    folder = filled.path("release/fusionrs")
    assert load_dataset(folder, split="train").num_rows == 37
    assert load_dataset(folder, "text", split="train").num_rows == 37
    assert set(load_dataset(folder, "naip", split="train")["corpus"]) == {"naip"}
    assert load_dataset(folder, "naip", split="train").num_rows == 13


def test_the_funnel_counts_every_item(filled: Workspace) -> None:
    """Items refused before they were records are in the footer of the rgb layer only."""
    rows = list(filled.rows("rgb", "naip-00000"))
    before = filled.footer("rgb", "naip-00000")
    assert before is not None
    with filled.writer("rgb", "naip-00000") as writer:
        for row in rows:
            writer.write(row)
        after = writer.commit(Footer("test", "f", items=len(rows) + 5, refused={"unreadable": 3, "too_small": 2}))
    assert after.content == before.content
    push(filled)
    found = section(readme(filled), "How it was built")
    assert found[0] == ["rgb", "53", "48", r"too\_small 2, unreadable 3"]
    assert found[3] == ["curation", "48", "45", "duplicate 3"]


def test_a_refusal_alone_renews_the_card(release: Path, filled: Workspace) -> None:
    rows = list(filled.rows("rgb", "naip-00000"))
    with filled.writer("rgb", "naip-00000") as writer:
        for row in rows:
            writer.write(row)
        writer.commit(Footer("test", "f", items=len(rows) + 1, refused={"unreadable": 1}))
    assert push(filled) == []
    assert "unreadable 1" in readme(filled)


def test_strangers_text_breaks_nothing(workspace: Workspace) -> None:
    evil = record(
        "x",
        scene_captions=[EVIL, EVIL],
        ir_captions=[EVIL],
        license=EVIL,
        license_url="javascript:alert(1)",
        attribution=EVIL,
        source_url=f"https://x.org/{EVIL}",
        ir_source=EVIL,
        caption_source={"scene": [EVIL], "ir": [EVIL], "prompt_sha256": None, "checks": []},
    )
    lay(workspace, {"a-00000": [evil, record("y", "test"), record("z", "validation")]})
    workspace.write_json("fusionrs.lock", {"stages": {"caption": {"params": {"captioner": EVIL}}}})
    push(workspace, title=EVIL)
    text = readme(workspace)
    assert front(text)["pretty_name"] == EVIL
    body = text.split("\n---\n", 1)[1]
    assert body.startswith("<!-- fusionrs-builder release ")
    for table in tables(body):
        assert len({len(cells(line)) for line in table}) == 1, table
    assert len(tables(body)) == 10
    assert "<script" not in body
    assert not re.search(r"(?<!\\)\]\(javascript", body)
    assert r"{{ 7\*7 }}" in body
    assert body.count("\n# ") == 1
    assert body.count("```") == 4  # the two blocks of the template


def test_one_evil_licence_stays_valid_yaml(workspace: Workspace) -> None:
    lay(workspace, {"a-00000": [record("x", license=EVIL, license_url="https://x.org/terms")]})
    push(workspace)
    found = front(readme(workspace))
    assert found["license"] == "other"
    assert re.fullmatch(r"[a-z0-9.-]+", found["license_name"])
    assert found["license_link"] == "https://x.org/terms"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["CC-BY-4.0"], {"license": "cc-by-4.0"}),
        (["MIT", "MIT"], {"license": "mit"}),
        (["US public domain"], {"license": "other", "license_name": "us-public-domain"}),
        (["MIT", "CC-BY-4.0"], {"license": "other", "license_name": "several-see-the-column-license"}),
    ],
)
def test_licence_of_the_whole(names: list[str], expected: dict[str, str]) -> None:
    counted = facts.Facts()
    for number, name in enumerate(names):
        counted.licences[facts.Licence(f"c{number}", name, "", True, "")] += 1
    found = card.front_matter(PushSettings(), counted, {"default": {"train": 1}})
    assert {key: value for key, value in found.items() if key.startswith("license")} == expected


def test_examples_are_shown_of_every_corpus(release: Path, filled: Workspace) -> None:
    text = readme(filled)
    rows = section(text, "Examples")
    assert len(rows) == facts.EXAMPLES
    assert {row[2].split("<br>")[1] for row in rows} == {"eurosat", "naip", "hit-uav"}
    linked = set(re.findall(r"\]\((examples/[^)]+)\)", text))
    standing = {name for name in contents(release) if name.startswith("examples/")}
    assert linked == standing
    for row in rows:
        assert row[0] == "(none)" if "hit-uav" in row[2] else row[0].startswith("![visible")
    for name in standing:
        with Image.open(release / name) as image:
            assert (image.format, image.mode) == ("JPEG", "RGB" if "rgb" in name else "L")
            assert max(image.size) <= 256


def test_fewer_examples_leave_no_picture_behind(filled: Workspace) -> None:
    push(filled)
    for layer in ("rgb", "ir", "captions", "curation"):
        for shard in ("eurosat-00000", "eurosat-00001", "hit-uav-00000"):
            filled.remove(layer, shard)
    lay(filled, {"naip-00000": [record("x", side=600)]})
    push(filled)
    folder = Path(filled.path("release/fusionrs/examples"))
    assert sorted(path.name for path in folder.iterdir()) == ["000-ir.jpg", "000-rgb.jpg"]
    with Image.open(folder / "000-rgb.jpg") as image:
        assert image.size == (256, 256)
