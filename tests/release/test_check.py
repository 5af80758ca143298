import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrs_builder import checked, pixels, releases
from fusionrs_builder.checked import Checked
from fusionrs_builder.release import check, recipe, sums
from fusionrs_builder.release.image_folder import write_image_folder
from fusionrs_builder.release.layout import FOLDERS, NEEDED
from fusionrs_builder.release.webdataset import write_webdataset
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

from .conftest import lay, picture, push, record, three_corpora

TRAIN, TEST = "train-00000-of-00001", "test-00000-of-00001"

Change = Callable[[list[Row]], Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    workspace = Workspace.open(tmp_path_factory.mktemp("made"), create=True)
    lay(workspace, dict(three_corpora()))
    push(workspace)
    return Path(workspace.path("release/fusionrs"))


@pytest.fixture
def release(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "released"))


def problems(release: Path, every: bool = False) -> list[str]:
    return releases.check(str(release), every).problems


def resum(release: Path) -> None:
    """Let SHA256SUMS speak of what stands: as one who edits a release and covers it up."""
    sums.write(Workspace(str(release.parent)), release.name, [])


def rewrite(release: Path, name: str, change: Change, places: str = "data text", group: int = 100) -> None:
    """Change the rows of a file, in data/ and text/ alike."""
    for place in places.split():
        path = release / place / f"{name}.parquet"
        with pq.ParquetFile(path) as parquet:
            table = parquet.read()
        rows = table.to_pylist()
        change(rows)
        kept = [{column: row[column] for column in table.column_names} for row in rows]
        table = pa.Table.from_pylist(kept, schema=table.schema)
        pq.write_table(table, path, row_group_size=group, write_page_index=True)
    resum(release)


def first(**columns: Any) -> Change:
    return lambda rows: rows[0].update(columns)


def test_a_release_is_what_it_says(release: Path) -> None:
    found = releases.check(str(release))
    assert (found.rows, found.pictures, found.problems) == (45, 2 * 35 + 10, [])
    rewrite(release, TRAIN, lambda rows: None)
    assert problems(release) == [], "what the tests below do is seen for what it changes"


@pytest.mark.parametrize("count", [1, 399, 401])
def test_releases_of_any_size(workspace: Workspace, count: int) -> None:
    lay(workspace, {"many-00000": [record(f"a b/{number}", side=1) for number in range(count)]})
    push(workspace)
    found = releases.check(workspace.path("release/fusionrs"))
    assert (found.rows, found.problems) == (count, [])
    assert found.pictures == 2 * {1: 1, 399: 200, 401: 134}[count], "200 rows at most"
    assert releases.check(workspace.path("release/fusionrs"), every=True).pictures == 2 * count


def test_ten_thousand_rows(workspace: Workspace) -> None:
    one = record("one", side=1)
    for shard in range(3):
        lay(workspace, {f"many-{shard:05d}": ({**one, "key": f"{shard} {number}"} for number in range(3334))})
    push(workspace)
    found = releases.check(workspace.path("release/fusionrs"))
    assert (found.rows, found.pictures, found.problems) == (10_002, 2 * 197, [])


def test_files_by_corpus(filled: Workspace) -> None:
    push(filled, by_corpus=True, file_mb=1)
    release = Path(filled.path("release/fusionrs"))
    assert problems(release, every=True) == []
    path = release / "data" / "train.naip-00000-of-00001.parquet"
    rewrite(release, path.stem, first(corpus="eurosat"))
    assert problems(release) == [
        "data/train.naip-00000-of-00001.parquet: naip/000 is of train of eurosat, which this file is not",
        "README.md says train 16, validation 2, test 2 of `eurosat`, the files hold train 17, validation 2, test 2",
        "README.md says train 13, validation 1, test 1 of `naip`, the files hold train 12, validation 1, test 1",
    ]


def test_corpora_whose_names_begin_alike(workspace: Workspace) -> None:
    lay(workspace, {f"{corpus}-00000": [record(corpus)] for corpus in ("dota", "dota-2", "dota-20000")})
    push(workspace, by_corpus=True)
    release = Path(workspace.path("release/fusionrs"))
    assert problems(release) == []
    edit_card(release, "train.dota-[0-9][0-9][0-9][0-9][0-9]-", "train.dota-[0-9]*-")
    assert problems(release) == [
        f"by README.md, `load_dataset` reads data/train.{other}-00000-of-00001.parquet for train of `dota`"
        for other in ("dota-2", "dota-20000")
    ]


@pytest.mark.parametrize("policy", ["redistributable", "noncommercial", "any"])
def test_pixels_that_the_licence_withholds(workspace: Workspace, policy: str) -> None:
    terms = [("MIT", True), ("CC-BY-NC-4.0", False), ("all rights reserved", False)]
    records = [record(f"{number}", license=name, redistributable=free) for number, (name, free) in enumerate(terms)]
    lay(workspace, {"mixed-00000": records})
    push(workspace, license_policy=policy)
    release = Path(workspace.path("release/fusionrs"))
    held = ["redistributable", "noncommercial", "any"].index(policy) + 1
    assert releases.check(str(release)).pictures == 2 * held
    assert problems(release) == []


@pytest.mark.parametrize("path", NEEDED)
def test_a_file_that_is_missing(release: Path, path: str) -> None:
    (release / path).unlink()
    found = problems(release)
    assert found[-1 if path != "README.md" else 0] == (
        f"{path} is missing"
        if path != "README.md"
        else f"{release} has no finished card: it is no release, or one cut short"
    )
    assert len(found) == 1 + path.startswith("recipe/")


@pytest.mark.parametrize("path", ["NOTICE", "examples/000-rgb.jpg", f"data/{TRAIN}.parquet", f"text/{TEST}.parquet"])
def test_a_missing_file_is_found_though_the_sums_are_silent(release: Path, path: str) -> None:
    (release / path).unlink()
    assert problems(release) == [f"{path} is missing"]
    resum(release)
    assert problems(release) == ([] if path.startswith("examples") else [f"{path} is missing"])


def test_a_split_that_is_missing_altogether(release: Path) -> None:
    for place in FOLDERS.values():
        (release / place / f"{TEST}.parquet").unlink()
    resum(release)
    assert problems(release) == [
        f"README.md says train 37, validation 4, test 4 of `{config}`, the files hold train 37, validation 4"
        for config in FOLDERS
    ]


def test_a_number_that_is_missing(workspace: Workspace) -> None:
    for shard in range(3):
        lay(workspace, {f"noise-{shard:05d}": [record(f"{shard}", side=700)]})
    push(workspace, file_mb=1)
    release = Path(workspace.path("release/fusionrs"))
    assert problems(release) == []
    for place in FOLDERS.values():
        (release / place / "train-00001-of-00003.parquet").unlink()
    resum(release)
    lacking = [f"{place}/train-00001-of-00003.parquet is missing" for place in FOLDERS.values()]
    assert problems(release) == lacking


@pytest.mark.parametrize("name", ["train-copy", "train-00001-of-00002", "train.eurosat-00000-of-00001"])
def test_files_that_load_dataset_would_read_too(release: Path, name: str) -> None:
    (release / "data" / f"{name}.parquet").write_bytes((release / "data" / f"{TRAIN}.parquet").read_bytes())
    found = "\n".join(problems(release))
    assert f"data/{name}.parquet is not" in found
    (release / "data" / f"{name}.parquet").unlink()
    (release / "data" / "notes.txt").write_text("mine")
    (release / "data" / ".tmp-1.parquet").write_text("mine")
    assert problems(release) == []


@pytest.mark.parametrize("path", [f"data/{TRAIN}.parquet", f"text/{TEST}.parquet", "NOTICE", "examples/000-rgb.jpg"])
def test_a_byte_that_is_flipped(release: Path, path: str) -> None:
    data = bytearray((release / path).read_bytes())
    data[100] ^= 1
    (release / path).write_bytes(data)
    assert problems(release)[0] == f"{path} is not what SHA256SUMS says: it was changed or damaged"


def test_bytes_flipped_anywhere(release: Path) -> None:
    chance = random.Random(0)
    for path in (release / "data" / f"{TEST}.parquet", release / "text" / f"{TRAIN}.parquet", release / "README.md"):
        whole = path.read_bytes()
        for number in range(25):
            data = bytearray(whole)
            for _ in range(1 + number % 3):
                # what is near the end of a Parquet file tells how to read it
                place = chance.choice([chance.randrange(len(data)), -1 - chance.randrange(min(len(data), 20_000))])
                data[place] ^= chance.randrange(1, 256)
            path.write_bytes(data[: chance.randrange(len(data))] if number % 10 == 9 else data)
            found = problems(release, every=True)
            assert found or path.suffix == ".md"
            assert all("\n" not in line and len(line) < 600 for line in found)
        path.write_bytes(whole)
    assert problems(release) == []


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("scene_captions", ["another"], "scene_captions of eurosat/000 is another"),
        ("id", "eurosat/1", "id of eurosat/000 is another"),
        ("split", "test", "split of eurosat/000 is another"),
        (
            "ir_quality",
            {"edge_agreement": None, "saturation": 1.0, "entropy": 1.0, "polarity": None},
            "ir_quality of eu",
        ),
    ],
)
def test_texts_that_are_not_those_of_the_pictures(release: Path, column: str, value: Any, told: str) -> None:
    rewrite(release, TRAIN, first(**{column: value}), "text")
    (found,) = problems(release)
    assert found.startswith(f"text/{TRAIN}.parquet does not hold what data/{TRAIN}.parquet does: {told}")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda rows: rows.pop(), "it has fewer rows"),
        (lambda rows: rows.append(rows[0]), "it has more rows"),
        (lambda rows: rows.clear(), "it has fewer rows"),
        (lambda rows: rows.reverse(), "id of eurosat/000 is another"),
    ],
)
def test_texts_of_other_rows(release: Path, change: Change, told: str) -> None:
    rewrite(release, TRAIN, change, "text")
    assert problems(release) == [f"text/{TRAIN}.parquet does not hold what data/{TRAIN}.parquet does: {told}"]


def test_a_nan_is_as_good_as_another(release: Path) -> None:
    nan = {"edge_agreement": float("nan"), "saturation": 0.0, "entropy": 1.0, "polarity": None}
    rewrite(release, TRAIN, first(ir_quality=nan))
    assert problems(release) == []


def test_row_groups_of_other_sizes_hold_the_same(release: Path) -> None:
    rewrite(release, TRAIN, lambda rows: None, "data", group=7)
    rewrite(release, TRAIN, lambda rows: None, "text", group=5)
    assert problems(release) == []


def test_ids_that_stand_twice(release: Path) -> None:
    rewrite(release, TRAIN, first(id="hit-uav/005"))
    assert problems(release) == [
        f"data/{TRAIN}.parquet: the id hit-uav/005 is there twice, first in data/{TRAIN}.parquet"
    ]
    rewrite(release, TRAIN, first(id="hit-uav/009"))
    assert problems(release) == [
        f"data/{TEST}.parquet: the id hit-uav/009 is there twice, first in data/{TRAIN}.parquet"
    ]


def test_many_ids_that_stand_twice(release: Path) -> None:
    rewrite(release, TRAIN, lambda rows: [row.update(id=f"id {n // 2}") for n, row in enumerate(rows)])
    found = problems(release)
    assert len(found) == checked.SAID + 1
    assert all("is there twice, first in data/train" in line for line in found[:-1])
    assert found[-1] == f"id: {18 - checked.SAID} more"


def test_a_group_in_two_splits(release: Path) -> None:
    rewrite(release, TRAIN, first(group_id="group:hit-uav/009"))
    assert problems(release) == [f"data/{TEST}.parquet: the group of hit-uav/009 lies in train and in test"]


def test_rows_of_another_split(release: Path) -> None:
    said = "train 37, validation 4, test 4"
    rewrite(release, TRAIN, first(split="test"))
    assert problems(release) == [
        f"data/{TRAIN}.parquet: eurosat/000 is of test of eurosat, which this file is not",
        *(f"README.md says {said} of `{config}`, the files hold test 5, train 36, validation 4" for config in FOLDERS),
    ]


@pytest.mark.parametrize("column", ["id", "group_id"])
def test_rows_without_a_key(release: Path, column: str) -> None:
    rewrite(release, TRAIN, first(**{column: None}))
    (found,) = problems(release)
    assert f"has no {column}" in found


@pytest.mark.parametrize("licence", [None, "", "  "])
def test_rows_without_a_licence(release: Path, licence: str | None) -> None:
    rewrite(release, TRAIN, first(license=licence))
    assert problems(release) == [f"data/{TRAIN}.parquet: eurosat/000 has no licence"]


def test_pixels_that_the_policy_forbids(filled: Workspace) -> None:
    push(filled, license_policy="redistributable")
    release = Path(filled.path("release/fusionrs"))
    assert problems(release) == []
    rewrite(release, TRAIN, first(license="CC-BY-NC-4.0"))
    assert problems(release) == [
        f"data/{TRAIN}.parquet: eurosat/000 has pixels, which CC-BY-NC-4.0 and `redistributable` do not allow"
    ]
    rewrite(release, TRAIN, first(license="MIT", rgb=None, ir=None))
    assert problems(release) == [
        f"data/{TRAIN}.parquet: eurosat/000 has no pixels: if this was rebuilt, rebuild again with a copy of eurosat"
    ]


@pytest.mark.parametrize("data", [b"", b"no picture", b"\x89PNG\r\n\x1a\n", None])
@pytest.mark.parametrize("view", ["rgb", "ir", "ir16"])
def test_pictures_that_cannot_be_decoded(release: Path, view: str, data: bytes | None) -> None:
    rewrite(release, TRAIN, first(**{view: {"bytes": data, "path": "a.png"}}), "data")
    (found,) = problems(release)
    assert found.startswith(f"data/{TRAIN}.parquet: {view} of eurosat/000 cannot be read: ValueError: ")


def test_pictures_that_fail_in_ways_of_their_own(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(data: bytes) -> None:
        raise TypeError("'float' object cannot be interpreted as an integer")  # of Pillow, for some damaged EXIF

    monkeypatch.setattr(pixels, "decode", fail)
    found = problems(release)
    assert found[0].endswith("cannot be read: TypeError: 'float' object cannot be interpreted as an integer")
    assert found[-1] == f"picture: {80 - checked.SAID} more"


@pytest.mark.parametrize("view", ["rgb", "ir"])
def test_pixels_that_are_not_those_of_the_hash(release: Path, view: str) -> None:
    ours = pixels.pixel_sha256(picture("ireurosat", 16, 1))
    other = {"bytes": pixels.encode_png(picture("other", 16, 3 if view == "rgb" else 1)), "path": "a.png"}
    rewrite(release, TRAIN, first(**{view: other}, ir_sha256=ours), "data")
    rewrite(release, TRAIN, first(ir_sha256=ours), "text")
    found = problems(release)
    assert found[0] == f"data/{TRAIN}.parquet: {view} of eurosat/000 has other pixels than its sha256 says"


def test_pictures_outside_of_the_sample(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checked, "SAMPLE", 2)
    lay(workspace, {"many-00000": [record(f"{number}", side=4) for number in range(6)]})
    push(workspace)
    release = Path(workspace.path("release/fusionrs"))
    rewrite(release, TRAIN, lambda rows: rows[1].update(rgb={"bytes": b"", "path": "a.png"}), "data")
    assert (releases.check(str(release)).pictures, problems(release)) == (4, [])
    found = releases.check(str(release), every=True)
    assert found.pictures == 12 and len(found.problems) == 1


def test_a_row_group_that_is_too_large(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(workspace, {"many-00000": [record(f"{number}", side=1) for number in range(1001)]})
    push(workspace)
    release = Path(workspace.path("release/fusionrs"))
    assert problems(release) == []
    told = f"data/{TRAIN}.parquet: row group 0 is too large for the viewer of the Hub"
    with monkeypatch.context() as patch:
        patch.setattr(check, "GROUP_BYTES", 10_000)
        assert told in problems(release)
    rewrite(release, TRAIN, lambda rows: None, "data", group=2000)
    assert problems(release) == [told]


def test_no_page_index(release: Path) -> None:
    path = release / "data" / f"{TRAIN}.parquet"
    table = pq.ParquetFile(path).read()
    pq.write_table(table, path, row_group_size=100)
    resum(release)
    assert problems(release) == [f"data/{TRAIN}.parquet: row group 0 has no page index, which the viewer reads by"]


def recolumn(release: Path, place: str, change: Callable[[pa.Table], pa.Table]) -> None:
    path = release / place / f"{TRAIN}.parquet"
    pq.write_table(change(pq.ParquetFile(path).read()), path, row_group_size=100, write_page_index=True)
    resum(release)


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.drop_columns("labels"),
        lambda table: table.append_column("mine", pa.nulls(len(table))),
        lambda table: table.select(table.column_names[::-1]),
        lambda table: table.set_column(0, "id", pa.array(range(len(table)))),
    ],
)
@pytest.mark.parametrize("place", FOLDERS.values())
def test_other_columns(release: Path, place: str, change: Callable[[pa.Table], pa.Table]) -> None:
    recolumn(release, place, change)
    assert problems(release) == [
        f"{place}/{TRAIN}.parquet has other columns or features than a release of this version"
    ]


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        (None, "has other columns or features than a release of this version"),
        ("{", "cannot be read: JSONDecodeError"),
        ("[]", "has other columns or features than a release of this version"),
        ('{"info": {"features": {}}}', "has other columns or features than a release of this version"),
        ('{"info": {"features": {"rgb": {"_type": "Video"}}}}', "has other columns or features than"),
    ],
)
def test_other_features(release: Path, metadata: str | None, told: str) -> None:
    recolumn(release, "data", lambda table: table.replace_schema_metadata(metadata and {"huggingface": metadata}))
    (found,) = problems(release)
    assert found.startswith(f"data/{TRAIN}.parquet {told}")


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1 no more PAR1"])
@pytest.mark.parametrize("place", FOLDERS.values())
def test_files_that_are_none(release: Path, place: str, data: bytes) -> None:
    (release / place / f"{TRAIN}.parquet").write_bytes(data)
    resum(release)
    (found,) = problems(release)
    assert found.startswith(f"{place}/{TRAIN}.parquet cannot be read: Arrow")


def test_a_folder_where_a_file_should_be(release: Path) -> None:
    for path in (f"data/{TRAIN}.parquet", "SHA256SUMS", "recipe/report.json"):
        (release / path).unlink()
        (release / path).mkdir()
    found = problems(release)
    assert f"data/{TRAIN}.parquet is missing" in found and "SHA256SUMS is missing" in found
    assert any(line.startswith("SHA256SUMS cannot be read") for line in found)


@pytest.mark.parametrize("text", ["", "abc  NOTICE\n", "\x00\xff", f"{'G' * 64}  NOTICE", f"{'0' * 64} NOTICE"])
def test_damaged_sums(release: Path, text: str) -> None:
    (release / "SHA256SUMS").write_text(text, encoding="latin-1")
    (found,) = problems(release)
    assert "SHA256SUMS is " in found


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "{", '{"settings": 1}', '{"settings": {"license_policy": "all"}}', "9" * 5000]
)
def test_a_damaged_recipe(release: Path, text: str) -> None:
    (release / recipe.REPORT).write_text(text)
    resum(release)
    (found,) = problems(release)
    assert "recipe is not what `fusionrs-build push` wrote" in found


def edit_card(release: Path, old: str, new: str) -> None:
    text = (release / "README.md").read_text()
    assert old in text
    (release / "README.md").write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            "num_examples: 37",
            "num_examples: 38",
            "says train 38, validation 4, test 4 of `default`, the files hold train 37",
        ),
        ("path: data/train-*.parquet", "path: data/test-*.parquet", "`load_dataset` does not read data/train-00000"),
        (
            "path: data/test-*.parquet",
            "path: data/*.parquet",
            "`load_dataset` reads data/train-00000-of-00001.parquet for t",
        ),
        ("split: validation", "split: dev", "`load_dataset` does not read data/validation-00000-of-00001.parquet"),
        ("dtype: image", "dtype: string", "README.md says other columns of `default`"),
        ("config_name: text", "config_name: words", "it must tell of the configurations default, text"),
        ("dataset_info:", "data_set_info:", "the front matter of README.md cannot be read: KeyError: 'dataset_info'"),
        ("configs:", "configs: 1\nmine:", "the front matter of README.md cannot be read"),
        ("---\n", "", "the front matter of README.md cannot be read"),
        ("language:", "language: [", "the front matter of README.md cannot be read"),
        (
            "num_examples: 37",
            "num_examples: [many]",
            "README.md says train ['many'], validation 4, test 4 of `default`",
        ),
    ],
)
def test_a_card_that_says_otherwise(release: Path, old: str, new: str, told: str) -> None:
    edit_card(release, old, new)
    found = problems(release)
    assert any(told in line for line in found) and not any("\n" in line for line in found)


def test_a_readme_that_is_no_card(release: Path) -> None:
    (release / "README.md").write_bytes(b"# mine \xff\n")
    assert problems(release) == [f"{release} has no finished card: it is no release, or one cut short"]


@pytest.mark.parametrize("write", [write_webdataset, write_image_folder])
def test_a_copy_in_another_format(release: Path, tmp_path: Path, write: Callable[[Path, Path], Any]) -> None:
    write(release, tmp_path / "copy")
    told = f"{tmp_path / 'copy'} is a copy in another format: check the release it was made of"
    assert problems(tmp_path / "copy") == [told]


def test_a_release_in_its_workspace(filled: Workspace) -> None:
    push(filled)
    push(filled, name="second")
    found = releases.check(filled.path())
    assert (found.rows, found.problems) == (48 + 2 * 45, [])
    (Path(filled.path("release/second/NOTICE"))).unlink()
    assert releases.check(filled.path()).problems == ["release/second: NOTICE is missing"]


def test_pictures_are_read_a_row_group_at_a_time(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite(release, TRAIN, lambda rows: None, "data", group=5)
    events: list[Any] = []
    read, decode = pq.ParquetFile.read_row_group, Checked.decode

    def reads(self: pq.ParquetFile, group: int, columns: list[str]) -> pa.Table:
        if "rgb" in columns:
            events.append(group)
        return read(self, group, columns=columns)

    def decodes(self: Checked, row: Row, column: str, *rest: Any) -> None:
        if column == "rgb":
            events.append(row["id"])
        decode(self, row, column, *rest)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", reads)
    monkeypatch.setattr(Checked, "decode", decodes)
    monkeypatch.setattr(checked, "SAMPLE", 5)
    assert problems(release) == []
    # of 45 rows every ninth: 0, 9, 18, 27 and 36 of the 37 in train, none of the two other files
    assert events == [0, "eurosat/000", 1, "eurosat/011", 3, "hit-uav/002", 5, "naip/003", 7, "naip/014"]
