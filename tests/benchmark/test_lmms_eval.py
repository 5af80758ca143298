"""The task folder, read as lmms-eval reads it: it is not installed here, so its own steps are followed by hand."""

import ast
import json
import random
import subprocess
import sys
from argparse import Namespace
from importlib import util
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import yaml
from datasets import Dataset, Image, load_dataset

from fusionrs_builder.benchmark import lmms_eval
from fusionrs_builder.benchmark.lmms_eval import export, utils
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.rouge import rouge_l
from fusionrs_builder.benchmark.metrics.tokens import tokenise
from fusionrs_builder.benchmark.models.predictions import model as predictions
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.benchmark.tasks.vqa import vqa
from fusionrs_builder.benchmark.vqa.normalise import normalise
from fusionrs_builder.benchmark.vqa.questions import questions
from fusionrs_builder.errors import FusionError, UsageError
from tests.benchmark.conftest import records, row
from tests.benchmark.vqa.scenes import towns, truth

ROWS = [
    *({**one, "ir_captions": [f"A town of {n} bright roofs.", "Roofs, bright against dark streets."]}
      for n, one in enumerate(towns(50, 5))),
    *({**one, "id": f"towns/t{n}", "ir_origin": "translated"} for n, one in enumerate(towns(50, 6))),
    row("no captions", 3, ir_captions=[]),
]  # fmt: skip


@pytest.fixture(scope="module")
def split() -> Records:
    return records(ROWS)


@pytest.fixture(scope="module")
def folder(split: Records, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("lmms") / "tasks"
    assert export(split, made) == ["fusionrs_vqa", "fusionrs_ir_caption"]
    return made


def imported(folder: Path) -> ModuleType:
    """`utils.py` as lmms-eval imports it (`lmms_eval.utils.import_function`)."""
    spec = util.spec_from_file_location("utils", folder / "utils.py")
    assert spec and spec.loader
    module = util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def config(folder: Path, task: str) -> dict[str, Any]:
    """A YAML with its functions, as `lmms_eval.utils.load_yaml_config` has it."""

    class Loader(yaml.FullLoader):
        pass

    def function(loader: yaml.Loader, node: yaml.ScalarNode) -> Any:
        module, name = loader.construct_scalar(node).split(".")
        assert module == "utils"
        return getattr(imported(folder), name)

    Loader.add_constructor("!function", function)
    return dict(yaml.load((folder / f"{task}.yaml").read_text(), Loader))


def documents(found: dict[str, Any], cache: Path) -> Dataset:
    """What `ConfigurableTask.download` gets."""
    data = load_dataset(path=found["dataset_path"], name=None, cache_dir=str(cache), **found["dataset_kwargs"])
    return data[found["test_split"]]


def evaluated(found: dict[str, Any], docs: Dataset, say: Any, out: Path) -> dict[str, float]:
    """`evaluate`: documents without media are scored, then each metric is aggregated."""
    samples: dict[str, list[Any]] = {}
    for doc in docs.remove_columns("image"):
        for metric, value in found["process_results"](doc, [say(doc)]).items():
            samples.setdefault(metric, []).append(value)
    by_name = {one["metric"]: one["aggregation"] for one in found["metric_list"]}
    assert set(samples) == set(by_name)
    results = {}
    for metric, values in samples.items():
        aggregate = by_name[metric]
        if aggregate == "mean":
            results[metric] = float(np.mean(values))
        elif metric in ("unreadable", "words"):  # those that take `args`
            results[metric] = aggregate(values, args=Namespace(output_path=str(out)))
        else:
            results[metric] = aggregate(values)
    return results


def test_a_yaml_is_what_a_task_config_takes(folder: Path) -> None:
    for task, target in (("fusionrs_vqa", "answer"), ("fusionrs_ir_caption", "references")):
        found = config(folder, task)
        assert found["task"] == task and found["test_split"] == "test"
        assert (found["output_type"], found["doc_to_text"], found["doc_to_target"]) == (
            "generate_until",
            "prompt",
            target,
        )
        assert found["generation_kwargs"]["do_sample"] is False
        assert all(callable(found[name]) for name in ("doc_to_visual", "process_results"))
        assert all({"metric", "aggregation", "higher_is_better"} == set(one) for one in found["metric_list"])
        assert found["metadata"] == {"version": 1.0}
        # Keys of lmms_eval.api.task.TaskConfig: another one is an error there.
        assert set(found) <= {
            "task", "dataset_path", "dataset_kwargs", "test_split", "output_type", "doc_to_visual", "doc_to_text",
            "doc_to_target", "generation_kwargs", "process_results", "metric_list", "metadata",
        }  # fmt: skip


def test_the_data_hold_what_is_asked_and_the_infrared_views_bit_for_bit(
    split: Records, folder: Path, tmp_path: Path
) -> None:
    found = config(folder, "fusionrs_vqa")
    docs, asked = documents(found, tmp_path), questions(split)
    assert isinstance(docs.features["image"], Image)
    assert docs["key"] == [one.key for one in asked]
    for doc, one in zip(docs, asked, strict=True):
        record = split[one.place]
        assert (doc["id"], doc["corpus"], doc["origin"]) == (record.id, record.corpus, record.ir_origin)
        assert (doc["type"], doc["prompt"], doc["answer"]) == (one.type, one.prompt, one.answer)
        assert tuple(doc["choices"]) == one.choices
    for n in (0, len(asked) - 1):
        (picture,) = found["doc_to_visual"](docs[n])
        assert picture.mode == "RGB"
        assert (np.asarray(picture) == np.asarray(split.picture(asked[n].place, "infrared"))).all()


def test_scores_of_questions_are_those_of_the_benchmark_here(split: Records, folder: Path, tmp_path: Path) -> None:
    drawn, known = random.Random(0), {one["id"]: one for one in ROWS}
    said: dict[str, str] = {}

    def say(doc: dict[str, Any]) -> str:
        right = truth(known[doc["id"]], doc["prompt"].partition(" Answer with")[0])
        wrong = drawn.choice(doc["choices"])
        said[doc["key"]] = drawn.choice([right.upper(), f"The answer is {right}.", wrong, "I cannot tell"])
        return said[doc["key"]]

    found = config(folder, "fusionrs_vqa")
    results = evaluated(found, documents(found, tmp_path / "cache"), say, tmp_path)
    submitted = tmp_path / "submissions/fusionrs_vqa.jsonl"
    measured, translated = vqa(split, predictions(str(submitted)), ["infrared"], "cpu")
    for result in (measured, translated):
        assert 0.2 < result.estimates["accuracy"].value < 0.9
        part = f"towns_{result.origin}"
        assert results[f"{part}_accuracy"] == pytest.approx(result.estimates["accuracy"].value)
        for type in ("presence", "count", "comparison", "position"):
            assert results[f"{part}_{type}"] == pytest.approx(result.estimates[f"{type} accuracy"].value)
    counts = measured.counts["unreadable"] + translated.counts["unreadable"]
    assert results["unreadable"] == pytest.approx(counts / len(said))
    assert {line["id"]: line["answer"] for line in map(json.loads, submitted.read_text().splitlines())} == said


def test_scores_of_captions_are_those_of_the_metrics_here(split: Records, folder: Path, tmp_path: Path) -> None:
    found = config(folder, "fusionrs_ir_caption")
    docs = documents(found, tmp_path / "cache")
    assert docs["id"] == [one["id"] for one in ROWS if one["ir_captions"]]
    assert docs[0]["references"] == ROWS[0]["ir_captions"]
    assert set(docs["prompt"]) == {lmms_eval.CAPTION_INFRARED}

    def say(doc: dict[str, Any]) -> str:
        return {"0": "A  town with bright\nroofs. ", "1": ""}.get(
            doc["id"][-1], "A dark view of number 1; the café isn't."
        )

    results = evaluated(found, docs, say, tmp_path)
    captions = {doc["id"]: " ".join(say(doc).split()) for doc in docs}
    for origin in ("measured", "translated"):
        mine = [doc for doc in docs if doc["origin"] == origin]
        scores = rouge_l(
            Captions(
                {doc["id"]: tokenise(captions[doc["id"]]) for doc in mine},
                {doc["id"]: [tokenise(one) for one in doc["references"]] for doc in mine},
            )
        )
        assert results[f"towns_{origin}_rouge_l"] == pytest.approx(scores.estimate(0).value)
        assert 0 < results[f"towns_{origin}_rouge_l"] < 1
    assert results["words"] == pytest.approx(np.mean([len(caption.split()) for caption in captions.values()]))
    lines = (tmp_path / "submissions/fusionrs_ir_caption.jsonl").read_text().splitlines()
    assert {line["id"]: line["caption"] for line in map(json.loads, lines)} == captions


def test_utils_needs_python_alone(folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys
sys.path.insert(0, {str(folder)!r})
import utils
doc = {{"corpus": "c", "origin": "measured", "type": "count", "key": "k", "answer": "1"}}
doc["choices"] = ["0", "1", "10 or more"]
scores = utils.vqa_scores(doc, ["There is one car."])
assert scores["c_measured_count"] == 1.0, scores
assert utils.vqa_macro([scores["c_measured_accuracy"], {{"type": "presence", "score": 0.0}}]) == 0.5
assert utils.vqa_unreadable([scores["unreadable"]]) == 0.0
doc = {{"corpus": "c", "origin": "measured", "id": "i", "references": ["Two cars."]}}
assert utils.caption_scores(doc, ["two cars"])["c_measured_rouge_l"] == 1.0
assert utils.caption_scores(doc, [])["words"]["caption"] == ""
assert not [name for name in sys.modules if name.startswith("fusionrs")]
"""
    run = subprocess.run([sys.executable, "-I", "-S", "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "submissions/fusionrs_vqa.jsonl").read_text() == '{"id": "k", "answer": "There is one car."}\n'


def test_utils_defines_every_name_once_and_reads_answers_as_here() -> None:
    defined: list[str] = []
    for node in ast.parse(utils()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            defined.append(node.name)
        elif isinstance(node, ast.Assign):
            defined += [name.id for name in node.targets if isinstance(name, ast.Name)]
    assert len(defined) == len(set(defined)) > 20
    module: dict[str, Any] = {}
    exec(utils(), module)
    for text in ("Yes.", "yes or no", "No, there is none", "perhaps"):
        assert module["normalise"](text, ("yes", "no")) == normalise(text, ("yes", "no"))


def test_an_export_takes_the_place_of_an_earlier_one_and_of_nothing_else(tmp_path: Path) -> None:
    few = records(ROWS[:3])
    made = tmp_path / "new" / "tasks"
    assert export(few, made) == ["fusionrs_ir_caption"]
    (made / "old.txt").write_text("old")
    assert export(few, made, prompt="What is there?") == ["fusionrs_ir_caption"]
    assert not (made / "old.txt").exists() and not (made / "fusionrs_vqa.yaml").exists()
    docs = documents(config(made, "fusionrs_ir_caption"), tmp_path / "cache")
    assert set(docs["prompt"]) == {"What is there?"}
    assert [path.name for path in made.parent.iterdir()] == ["tasks"]
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "chapter.tex").write_text("years of work")
    with pytest.raises(UsageError, match="thesis holds something else"):
        export(few, thesis)
    assert (thesis / "chapter.tex").read_text() == "years of work"


def test_a_picture_that_cannot_be_read_leaves_nothing_behind(tmp_path: Path) -> None:
    broken = records([ROWS[0], {**ROWS[1], "ir": {"bytes": b"no picture", "path": None}}])
    with pytest.raises(FusionError, match="its ir view cannot be read"):
        export(broken, tmp_path / "tasks")
    assert list(tmp_path.iterdir()) == []


def test_a_split_with_nothing_to_ask_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match=r"fusionrs: the split test holds neither boxes .* DATA:SPLIT"):
        export(records([row("a", 1, ir_captions=[])]), tmp_path / "tasks")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_named_by_the_split(tmp_path: Path) -> None:
    export(records(ROWS[:3], "test[:10%]"), tmp_path / "tasks")
    assert [path.name for path in (tmp_path / "tasks/data").iterdir()] == ["ir-caption-test_10.parquet"]
    found = config(tmp_path / "tasks", "fusionrs_ir_caption")
    assert found["test_split"] == "test_10"
    assert len(documents(found, tmp_path / "cache")) == 3
