import json
from pathlib import Path

import numpy as np
import pytest

from fusionrs_builder.benchmark import result as results
from fusionrs_builder.benchmark.result import Result, estimate, read, save
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.intervals import Estimate
from fusionrs_builder.intervals import estimate as of_images

FACTS = {"split": "test", "split_sha256": "ab" * 32, "seed": 0}


def result(**given: str) -> Result:
    names = {"task": "vqa", "protocol": "box-vqa@1", "dataset": "fusionrs/hit-uav", "model": "org/m", "pretrained": "x",
             "inputs": "infrared", "origin": "measured", "band": "lwir", **given}  # fmt: skip
    estimates = {"accuracy": of_images([0, 1, 1, 0]), "other": of_images([1, 1, 1, 0])}
    counts = {"images": 4, "failed": 0}
    return Result(**names, headline="accuracy", estimates=estimates, counts=counts, places=range(4))


def test_a_result_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = save(tmp_path, result().as_dict(FACTS))
    found = read(path)
    assert (found["metrics"], found["n"], found["language"]) == ({"accuracy": 0.5, "other": 0.75}, 4, "en")
    assert len(path.read_text().splitlines()) < 60  # what nobody reads stands on one line
    again, before = estimate(found), result().estimates["accuracy"]
    assert (again.value, again.n) == (before.value, before.n)
    assert again.resampled == pytest.approx(before.resampled, abs=1e-6)


def test_what_no_resample_has_a_value_on_stays_so(tmp_path: Path) -> None:
    values = np.full(2000, 0.5)
    values[3] = np.nan
    one = result()
    path = save(tmp_path, Result(**{**vars(one), "estimates": {"accuracy": Estimate(0.5, values, 4)}}).as_dict(FACTS))
    assert np.isnan(estimate(read(path)).resampled).nonzero()[0].tolist() == [3]
    json.loads(path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_other_measurements_have_other_files(tmp_path: Path) -> None:
    paths = [save(tmp_path, result().as_dict(FACTS))]
    for name, other in {
        "model": "org_m",
        "pretrained": "y",
        "inputs": "gray",
        "dataset": "fusionrs",
        "band": "nir",
    }.items():
        paths.append(save(tmp_path, result(**{name: other}).as_dict(FACTS)))
    for name, value in {"seed": 1, "split": "validation", "split_sha256": "cd" * 32}.items():
        paths.append(save(tmp_path, result().as_dict({**FACTS, name: value})))
    paths.append(save(tmp_path, result(model="m" * 400 + "/../é").as_dict(FACTS)))
    assert len(set(paths)) == len(paths) == len(list(tmp_path.iterdir()))
    assert save(tmp_path, result().as_dict({**FACTS, "device": "cuda"})) == paths[0]


@pytest.mark.parametrize(
    "change", [{"format": "one"}, {"format": None}, {"resampled": 3}, {"metrics": {}}, {"n": "many"}]
)
def test_a_damaged_one_is_told(tmp_path: Path, change: dict[str, object]) -> None:
    path = save(tmp_path, result().as_dict(FACTS))
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(FusionError, match="is no result of"):
        read(path)


def test_a_newer_one_asks_for_an_update(tmp_path: Path) -> None:
    path = save(tmp_path, result().as_dict(FACTS))
    path.write_text(json.dumps({**json.loads(path.read_text()), "format": results.FORMAT + 1}))
    with pytest.raises(UsageError, match="newer fusionrs-builder"):
        read(path)
