import json
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fusionrs_builder.benchmark.report.merge import group, merged
from fusionrs_builder.benchmark.result import Result, save
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.intervals import BOOTSTRAP, estimate

FACTS = {"split": "test", "split_sha256": "ab12" * 16, "seed": 0, "device": "cpu", "versions": {"numpy": "2.0"}}

NAMED = {
    "task": "presence", "protocol": "presence@1", "dataset": "fusionrs/hit-uav", "model": "ViT-B-32",
    "pretrained": "openai", "inputs": "infrared", "origin": "measured", "band": "lwir",
}  # fmt: skip


def values(seed: int, level: float = 0.5, n: int = 30) -> np.ndarray:
    """One value an image, some of them near a level between 0 and 1."""
    return np.clip(np.random.default_rng(seed).normal(level, 0.2, n), 0, 1)


def result(headline: str = "mAP", metrics: dict[str, Any] | None = None, failed: int = 0, **named: str) -> Result:
    """A result of the values of each metric."""
    found = {name: estimate(each) for name, each in (metrics or {headline: values(0)}).items()}
    counts = {"images": 30, "failed": failed}
    return Result(**{**NAMED, **named}, headline=headline, estimates=found, counts=counts, places=range(30))


def put(folder: Path, *results: Result, **facts: Any) -> list[Path]:
    return [save(folder, each.as_dict({**FACTS, **facts})) for each in results]


def edited(path: Path, **changes: Any) -> Path:
    """A saved result with keys changed, or taken out by `...`."""
    saved = {**json.loads(path.read_text()), **changes}
    path.write_text(json.dumps({key: value for key, value in saved.items() if value is not ...}))
    return path


def test_files_and_folders_of_many_runs_come_in_one_order(tmp_path):
    one = put(tmp_path / "a", result(origin="translated", band="nir"), result(task="vqa"))
    two = put(tmp_path / "b", result(), result(task="zeroshot_retrieval", model="z"), result(task="own-task"))
    three = put(tmp_path / "c", result(origin="-", band="-", inputs="rgb"), result(task="captioning"))
    found = merged([tmp_path / "a", tmp_path / "b", *three])
    assert [(each["task"], each["origin"]) for each in found] == [
        ("zeroshot_retrieval", "measured"),
        ("presence", "measured"),
        ("presence", "translated"),
        ("presence", "-"),
        ("captioning", "measured"),
        ("vqa", "measured"),
        ("own-task", "measured"),
    ]
    assert len({group(each) for each in found}) == 7
    for order in permutations([tmp_path / "a", two[0], two[1], two[2], tmp_path / "c"]):
        assert merged(order) == found
    assert merged([*one, *two, *three, tmp_path / "a"]) == found


def test_other_splits_and_seeds_are_other_groups(tmp_path):
    put(tmp_path / "a", result())
    put(tmp_path / "b", result(), seed=1)
    put(tmp_path / "c", result(), split_sha256="cd" * 32)
    put(tmp_path / "d", result(), split_sha256="ef" * 32, split="validation")
    found = merged([tmp_path / name for name in "abcd"])
    assert len(found) == 4
    assert len({group(each) for each in found}) == 4


def test_the_same_numbers_twice_are_one_result(tmp_path):
    leakage = {"declared": ["rsicd"], "unknown": [], "groups": 2, "records": 5, "of": 30}
    put(tmp_path / "a", result(), seconds=2.0, device="cuda")
    put(tmp_path / "b", result(), leakage=leakage)
    put(tmp_path / "c", result(), seconds=1.0)
    folders = [tmp_path / name for name in "abc"]
    kept = merged([folders[0], folders[2]])
    assert len(kept) == 1
    assert merged([folders[2], folders[0]]) == kept
    for order in permutations(folders):
        assert [each["leakage"] for each in merged(order)] == [leakage]


def test_numbers_are_the_same_in_any_order_and_where_one_is_none(tmp_path):
    for name in "ab":
        (path,) = put(tmp_path / name, result(metrics={"mAP": values(0), "AP car": values(1)}))
        metrics = json.loads(path.read_text())["metrics"] | {"AP car": float("nan")}
        edited(path, metrics=dict(sorted(metrics.items(), reverse=name == "b")))
    assert len(merged([tmp_path / "a", tmp_path / "b"])) == 1


def test_numbers_that_processors_round_otherwise_are_the_same(tmp_path):
    one, other = put(tmp_path / "a", result())[0], put(tmp_path / "b", result())[0]
    saved = json.loads(other.read_text())
    edited(other, metrics={name: value + 4e-6 for name, value in saved["metrics"].items()}, device="cuda")
    assert len(merged([one, other])) == 1
    edited(other, metrics={name: value + 4e-5 for name, value in saved["metrics"].items()})
    with pytest.raises(FusionError, match=r"\(cpu.*\(cuda"):
        merged([one, other])


def test_the_same_measurement_with_other_numbers_is_an_error_that_names_both(tmp_path):
    (first,) = put(tmp_path / "a", result())
    (second,) = put(tmp_path / "b", result(metrics={"mAP": values(1)}))
    with pytest.raises(FusionError, match="same measurement of ViT-B-32 with different numbers") as error:
        merged([second, first])
    assert str(first) in str(error.value)
    assert str(second) in str(error.value)
    (third,) = put(tmp_path / "c", result(failed=1))
    with pytest.raises(FusionError, match="different numbers"):
        merged([first, third])


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resampled": ...}, "resampled"),
        ({"resampled": [0.5] * (BOOTSTRAP - 1)}, "resampled"),
        ({"format": ...}, "format"),
        ({"protocol": ...}, "protocol"),
        ({"split_sha256": ...}, "split_sha256"),
        ({"seed": "0"}, "seed"),
        ({"seed": True}, "seed"),
        ({"n": 0}, "n: "),
        ({"model": None}, "model"),
        ({"headline": "acc1"}, "acc1"),
        ({"metrics": {"mAP": "high"}}, "high"),
        ({"metrics": {"mAP": float("nan")}}, "mAP has no value"),
        ({"intervals": {"mAP": [0.1]}}, "intervals.mAP"),
        ({"intervals": {}}, "different names"),
        ({"intervals": {"mAP": [0.1, float("nan")]}}, "mAP has no value"),
        ({"counts": ...}, "counts"),
        ({"leakage": {"declared": "rsicd", "unknown": [], "groups": 1, "records": 1, "of": 2}}, "leakage.declared"),
    ],
)
def test_a_damaged_result_is_an_error(tmp_path, changes, said):
    (path,) = put(tmp_path, result())
    assert merged([tmp_path])
    edited(path, **changes)
    for given in (path, tmp_path):
        with pytest.raises(FusionError, match="result") as error:
            merged([given])
        assert str(path) in str(error.value)
        assert said in str(error.value)


def test_half_a_file_is_an_error_and_other_json_is_passed_over(tmp_path):
    (path,) = put(tmp_path, result())
    (tmp_path / "notes.json").write_text('{"made": "by hand"}')
    (tmp_path / "list.json").write_text('["protocol"]')
    (tmp_path / "lines.json").write_text('{"format": 1}\n{"format": 1}\n')
    (tmp_path / "other.json").write_text('{"format": "png", "protocol": "https"}')
    (tmp_path / "utf16.json").write_bytes("{}".encode("utf-16"))
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "broken.json").write_text("{")
    assert len(merged([tmp_path])) == 1
    with pytest.raises(FusionError, match=r"notes\.json is no result"):
        merged([tmp_path / "notes.json"])
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FusionError, match="cannot be read") as error:
        merged([tmp_path])
    assert str(path) in str(error.value)


def test_where_there_are_no_results_the_call_is_wrong(tmp_path):
    with pytest.raises(UsageError, match="no results there") as error:
        merged([tmp_path])
    assert str(tmp_path) in str(error.value)
    with pytest.raises(UsageError, match="no path was given"):
        merged([])
    with pytest.raises(UsageError, match="no such file or folder"):
        merged([tmp_path / "missing"])


def test_a_newer_result_asks_for_an_update(tmp_path):
    (path,) = put(tmp_path, result())
    edited(path, format=99)
    with pytest.raises(UsageError, match="newer"):
        merged([path])
