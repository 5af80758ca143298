"""The loading script under `datasets` 3, in an environment of its own, against what the present `datasets` reads."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from datasets import Features, load_dataset
from huggingface_hub import DatasetCard, HfApi

from fusionrs_builder import pixels
from fusionrs_builder.workspace import Workspace
from tests.hub import clients
from tests.hub.server import serving
from tests.release.conftest import lay, push, record, three_corpora

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "loading_script" / "fusionrs.py"
PYTHON = Path(os.environ.get("FUSIONRS_DATASETS3", ROOT / ".peers" / "datasets3" / "bin" / "python"))

IMAGES = {"rgb", "ir", "ir16"}

Call = dict[str, Any]

pytestmark = pytest.mark.skipif(
    not PYTHON.exists(),
    reason=f"no {PYTHON}: `make {PYTHON.relative_to(ROOT) if PYTHON.is_relative_to(ROOT) else PYTHON}`, "
    "or name a Python that has datasets 3 by FUSIONRS_DATASETS3",
)


def described(rows: Any) -> dict[str, Any]:
    """Rows in plain words: of an image its mode, size, pixels, name and published bytes. Runs under both versions."""
    import hashlib

    from datasets import Image

    images = [name for name, feature in rows.features.items() if isinstance(feature, Image)]
    found, raws = [dict(row) for row in rows], rows
    for name in images:
        raws = raws.cast_column(name, Image(decode=False))
    for row, raw in zip(found, raws, strict=True):
        for name in images:
            if row[name] is not None:
                of = [hashlib.sha256(data).hexdigest() for data in (row[name].tobytes(), raw[name]["bytes"])]
                row[name] = [row[name].mode, list(row[name].size), raw[name]["path"], *of]
    return {"images": images, "columns": list(rows.features), "rows": found}


def tensors(rows: Any) -> list[str]:
    """Each row under `with_format("torch")`, in words."""
    return [repr(row) for row in rows.with_format("torch")]


PROGRAM = """
import json, sys
sys.path.append({torch!r})  # torch is large: it is borrowed
from typing import Any

import datasets

{described}
{tensors}
assert datasets.__version__.startswith("3."), datasets.__version__
found = []
for call in json.load(sys.stdin):
    how = tensors if call.pop("torch", False) else described
    try:
        rows = datasets.load_dataset({script!r}, trust_remote_code=True, **call)
        found.append(how(rows) if "split" in call else {{split: how(part) for split, part in rows.items()}})
    except Exception as error:
        found.append(f"{{type(error).__name__}}: {{error}}")
json.dump(found, open(sys.argv[1], "w"))
"""


def read(home: Path, calls: list[Call], script: Path = SCRIPT, **environment: str) -> list[Any]:
    """What `load_dataset` of `datasets` 3 answers to each call; all in one process."""
    program = PROGRAM.format(
        described=inspect.getsource(described),
        tensors=inspect.getsource(tensors),
        script=str(script),
        torch=sysconfig.get_path("purelib"),
    )
    home.mkdir(exist_ok=True)
    done = subprocess.run(
        [PYTHON, "-c", program, home / "answer.json"],
        input=json.dumps(calls),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", **environment},
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: list[Any] = json.loads((home / "answer.json").read_text())
    return found


def odd_records() -> Iterator[dict[str, Any]]:
    """Images of other kinds, nested columns with something in them, and one record with next to nothing."""
    deep = np.arange(256, dtype=np.uint16).reshape(16, 16) * 200
    yield record(
        "full",
        rgb={"bytes": pixels.encode_jpeg(np.full((20, 30, 3), 77, np.uint8)), "path": "full.jpg"},
        ir16={"bytes": pixels.encode_png(deep), "path": "full-ir16.png"},
        ir_quality={"edge_agreement": 0.5, "saturation": 0.0, "entropy": 7.25, "polarity": None},
        boxes=[{"label": "ship", "x0": 1.0, "y0": 2.0, "x1": 3.0, "y1": 4.0, "polygon": [1.0, 2.5]}] * 2,
        stretch=[{"band": "B08", "low": 0.0, "high": 4000.0, "scale": 1.0, "offset": 0.0}],
        bbox=[1.0, 2.0, 3.0, 4.5],
        gsd_m=0.3,
        ir_phash=7,
    )
    yield record("bare", rgb=None, ir=None, labels=[], boxes=[], scene_captions=None)


def with_text(release: Path) -> Path:
    """The config `text`, where the release was written without it."""
    if (release / "text").is_dir():
        return release
    (release / "text").mkdir()
    for file in (release / "data").iterdir():
        table = pq.read_table(file)
        features = Features.from_arrow_schema(table.schema)
        kept = Features({name: feature for name, feature in features.items() if name not in IMAGES})
        table = table.select(list(kept)).replace_schema_metadata(kept.arrow_schema.metadata)
        pq.write_table(table, release / "text" / file.name)
    card = DatasetCard.load(release / "README.md")
    files = [{**of, "path": of["path"].replace("data/", "text/")} for of in card.data["configs"][0]["data_files"]]
    card.data["configs"].append({"config_name": "text", "data_files": files})
    card.save(release / "README.md")
    return release


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits; `train` in several files, of several row groups."""
    workspace = Workspace.open(tmp_path_factory.mktemp("ws") / "ws", create=True)
    many = {f"many-{part:05d}": [record(f"{part}-{number}", side=48) for number in range(120)] for part in range(2)}
    lay(workspace, {**dict(three_corpora()), **many, "odd-00000": list(odd_records())})
    push(workspace, file_mb=1)
    return with_text(Path(workspace.path("release", "fusionrs")))


WHOLE: list[Call] = [{"streaming": False}, {"streaming": True}]
PARTS: list[Call] = [{"split": split} for split in ("train[:1%]", "train[20:120]", "test+validation[:50%]")]
TORCH: list[Call] = [{"split": "validation", "torch": True, **call} for call in WHOLE]
CALLS: list[Call] = [{"name": name, **call} for name in ("default", "text") for call in (*WHOLE, *PARTS, *TORCH)]


@pytest.fixture(scope="module")
def answers(release: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """What the script gives for each of `CALLS`."""
    return read(tmp_path_factory.mktemp("home"), [{"data_dir": str(release), **call} for call in CALLS])


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("cache"))


def present(release: Path, cache: str, call: Call) -> Any:
    """The same by the present `datasets`, without the script."""
    call = dict(call)
    how = tensors if call.pop("torch", False) else described
    rows = load_dataset(str(release), cache_dir=cache, **call)
    found = how(rows) if "split" in call else {split: how(part) for split, part in rows.items()}
    return json.loads(json.dumps(found))


@pytest.mark.parametrize("number", range(len(CALLS)), ids=[json.dumps(call) for call in CALLS])
def test_same_rows(release: Path, answers: list[Any], cache: str, number: int) -> None:
    found, expected = answers[number], present(release, cache, CALLS[number])
    assert isinstance(found, list if CALLS[number].get("torch") else dict), found
    assert found == expected


def test_what_the_rows_hold(answers: list[Any]) -> None:
    """The other tests compare; this one says that there is something to compare."""
    whole, text = (
        next(answer for call, answer in zip(CALLS, answers, strict=True) if call == {"name": name, "streaming": False})
        for name in ("default", "text")
    )
    assert {split: len(part["rows"]) for split, part in whole.items()} == {"train": 279, "validation": 4, "test": 4}
    assert set(whole["train"]["images"]) == IMAGES and not text["train"]["images"]
    for split, part in text.items():
        rows = [{name: row[name] for name in row if name not in IMAGES} for row in whole[split]["rows"]]
        assert part["rows"] == rows
    rows = {row["id"]: row for row in whole["train"]["rows"]}
    assert rows["odd/bare"]["rgb"] is rows["odd/bare"]["ir"] is None
    assert rows["odd/full"]["rgb"][:3] == ["RGB", [30, 20], "full.jpg"]
    assert rows["odd/full"]["ir16"][:3] == ["I;16", [16, 16], "full-ir16.png"]
    assert rows["odd/full"]["boxes"][1]["polygon"] == [1.0, 2.5]
    parts = [{"name": "default", **call} for call in PARTS]
    slices = [len(answer["rows"]) for call, answer in zip(CALLS, answers, strict=True) if call in parts]
    assert slices == [3, 100, 6]


def test_a_release_written_anew_is_read_anew(release: Path, tmp_path: Path) -> None:
    """...and a split without rows is absent; and a folder may have a name that is a pattern."""
    copy = tmp_path / "a[b]"
    shutil.copytree(release, copy)
    call = {"data_dir": str(copy), "name": "text"}
    before = read(tmp_path / "home", [call])[0]
    for folder in ("data", "text"):
        (copy / folder / "test-00000-of-00001.parquet").replace(copy / folder / "validation-00000-of-00001.parquet")
    after, again = read(tmp_path / "home", [call, {**call, "streaming": True}])
    assert set(after) == {"train", "validation"} and after == again
    assert after["validation"] == before["test"] != before["validation"]


def test_beside_the_release(release: Path, tmp_path: Path) -> None:
    copy = tmp_path / "mine"
    shutil.copytree(release, copy)
    shutil.copy(SCRIPT, copy)
    calls: list[Call] = [{"split": "test"}, {"split": "test", "data_dir": str(release)}, {"name": "text"}]
    beside, named, text = read(tmp_path / "home", calls, script=copy / "fusionrs.py")
    assert len(beside["rows"]) == 4 and beside == named
    assert len(text["train"]["rows"]) == 279


def unfinished(copy: Path) -> None:
    (copy / "README.md").unlink()


def stranger(copy: Path) -> None:
    (copy / "README.md").write_text("# mine")


def incomplete(copy: Path) -> None:
    min((copy / "data").glob("train-*")).unlink()


def without_text(copy: Path) -> None:
    shutil.rmtree(copy / "text")


ERRORS: list[tuple[Callable[[Path], None] | None, Call, str]] = [
    (None, {"data_dir": None}, "ValueError: data_dir is missing: name the release folder, or ORG/NAME on the Hub"),
    (None, {"data_dir": "/no/where"}, "FileNotFoundError: /no/where: no such folder, nor the name of"),
    (None, {"name": "images"}, "ValueError: there is no config 'images': name one of default, text"),
    (None, {"data_files": "a.parquet"}, "ValueError: data_files is not taken: name the release by data_dir"),
    (None, {"split": "dev"}, 'ValueError: Unknown split "dev"'),
    (unfinished, {}, "FileNotFoundError: .*/unfinished is not a finished release .*: name the folder that `fusionrs-"),
    (stranger, {}, "FileNotFoundError: .*/stranger is not a finished release"),
    (incomplete, {}, r"FileNotFoundError: .*/incomplete is not whole, data/train-00000-of-\d{5}.parquet is missing: "),
    (
        without_text,
        {"name": "text"},
        "FileNotFoundError: .*/without_text has no files text/.*: run `fusionrs-build push` again",
    ),
]


def test_errors(release: Path, tmp_path: Path) -> None:
    calls = []
    for spoil, call, _ in ERRORS:
        folder = release
        if spoil:
            folder = tmp_path / spoil.__name__
            spoil(Path(shutil.copytree(release, folder)))
        calls.append({"data_dir": str(folder), **call})
    for found, (_, _, message) in zip(read(tmp_path / "home", calls), ERRORS, strict=True):
        assert isinstance(found, str) and re.match(message, found, re.DOTALL), found


def test_from_the_hub(release: Path, answers: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clients.use(monkeypatch, tmp_path / "cache")
    with serving() as server:
        token = server.account("ada", orgs=["org"])
        api = HfApi(endpoint=server.url, token=token)
        api.create_repo("org/name", repo_type="dataset", private=True)
        files = ["README.md", "data/*", "text/*"]
        api.upload_folder(repo_id="org/name", folder_path=release, repo_type="dataset", allow_patterns=files)
        online = clients.environment(server, "", tmp_path / "home")
        repo = {"data_dir": "org/name", "token": token}
        calls: list[Call] = [{"name": name, **call, **repo} for name in ("default", "text") for call in WHOLE]
        wrong: list[Call] = [{**repo, "data_dir": "org/none"}, {**repo, "token": server.account("eve")}]
        *found, none, private = read(tmp_path / "home", [*calls, *wrong], **online)
        assert found == [
            answer for call, answer in zip(CALLS, answers, strict=True) if set(call) == {"name", "streaming"}
        ]
        for answer, name in ((none, "org/none"), (private, "org/name")):
            assert answer.startswith(f"FileNotFoundError: {name}: no such folder, and the Hub shows no such dataset: ")
            assert "hf_" not in answer

        for folder in ("data", "text"):
            api.delete_files("org/name", [f"{folder}/test-*"], repo_type="dataset")
        later, streamed = read(tmp_path / "home", calls[2:], **online)
        assert set(later) == {"train", "validation"} and later == streamed, "a later commit is read anew"
