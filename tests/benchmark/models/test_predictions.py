"""Answers made elsewhere: each goes to its question, and whatever is wrong with a file is named by its line."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.models.model import Answer, Answers, Question
from fusionrs_builder.benchmark.models.predictions import model
from fusionrs_builder.errors import FusionError, UsageError


def ask(path: Path, *keys: str) -> Answers:
    def never() -> Any:
        raise AssertionError("a file looks at no picture")

    return model(str(path)).answer((Question(key, "Say it.", never, "") for key in keys), "cpu")


def written(path: Path, *lines: Any) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "gpt.jsonl"


def test_each_question_has_its_answer_or_none(file: Path) -> None:
    written(file, {"id": "a/1", "caption": "A field."}, {"id": "a/3", "answer": "", "score": 0.5})
    assert ask(file, "a/1", "a/2", "a/3") == {
        "a/1": Answer("A field."),
        "a/2": Answer(None, "no prediction"),
        "a/3": Answer(""),
    }


def test_its_names(file: Path) -> None:
    written(file, {"id": "a/1", "caption": "A field."})
    found = model(str(file))
    assert (found.spec, found.name, found.pretrained) == (
        f"predictions:{file}",
        "gpt",
        hashlib.sha256(file.read_bytes()).hexdigest()[:12],
    )
    assert hashlib.sha256(file.read_bytes()).hexdigest() in found.identity
    assert not found.looks


@given(
    texts=st.dictionaries(st.text(min_size=1), st.text(), min_size=1),
    escaped=st.booleans(),
    ends=st.sampled_from(["\n", "\r\n"]),
)
def test_any_text_comes_through(
    tmp_path_factory: pytest.TempPathFactory, texts: dict[str, str], escaped: bool, ends: str
) -> None:
    path = tmp_path_factory.mktemp("file") / "gpt.jsonl"
    lines = [json.dumps({"id": id, "answer": text}, ensure_ascii=escaped) for id, text in texts.items()]
    path.write_bytes(ends.join(lines).encode("utf-8"))
    assert ask(path, *texts) == {id: Answer(text) for id, text in texts.items()}


def test_a_byte_order_mark_and_empty_lines(file: Path) -> None:
    file.write_text('\n{"id": "a", "caption": "Wüste"}\r\n\r\n{"id": "b", "caption": "B"}\n\n', encoding="utf-8-sig")
    assert ask(file, "a", "b") == {"a": Answer("Wüste"), "b": Answer("B")}


@pytest.mark.parametrize(
    ("encoding", "line"), [("utf-16", 1), ("utf-16-le", 1), ("utf-16-be", 1), ("utf-32", 1), ("latin-1", 2)]
)
def test_another_encoding(file: Path, encoding: str, line: int) -> None:
    file.write_text('{"id": "a", "caption": "Feld"}\n{"id": "b", "caption": "Wüste"}\n', encoding=encoding)
    with pytest.raises(FusionError, match=rf"gpt\.jsonl, line {line}: this is not UTF-8: save the file as UTF-8"):
        ask(file, "a", "b")


def test_half_a_surrogate_pair_can_be_written_to_a_file(file: Path) -> None:
    file.write_text('{"id": "a", "caption": "A \\ud800 field"}\n')
    assert ask(file, "a") == {"a": Answer("A ? field")}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a field", "line 2: no JSON object"),
        ('["a", "b"]', "line 2: no JSON object"),
        ("[" * 100_000, "line 2: no JSON object"),
        ('{"caption": "A field."}', 'line 2: no "id"'),
        ('{"id": 7, "caption": "A field."}', 'line 2: no "id", a string'),
        ('{"id": "", "caption": "A field."}', 'line 2: no "id"'),
        ('{"id": "b", "text": "A field."}', 'line 2: b has not one of "caption" and "answer"'),
        ('{"id": "b", "caption": null}', 'line 2: b has not one of "caption" and "answer", a string'),
        ('{"id": "b", "caption": ["A field."]}', 'line 2: b has not one of "caption" and "answer", a string'),
        ('{"id": "b", "caption": "A", "answer": "B"}', 'line 2: b has not one of "caption" and "answer"'),
        ('{"id": "a", "caption": "Another."}', "line 2: a was answered otherwise in line 1"),
    ],
)
def test_a_line_that_is_no_prediction(file: Path, line: str, told: str) -> None:
    file.write_text(f'{{"id": "a", "caption": "A field."}}\n{line}\n{{"id": "c", "caption": "C"}}\n')
    with pytest.raises(FusionError, match=r"gpt\.jsonl") as raised:
        model(str(file))
    assert told in str(raised.value)
    assert "line 3" not in str(raised.value)


def test_the_same_answer_twice_is_one(file: Path) -> None:
    written(file, *[{"id": "a", "caption": "A field."}] * 2)
    assert ask(file, "a") == {"a": Answer("A field.")}


def test_the_first_five_faults_are_told(file: Path) -> None:
    file.write_text("x\n" * 8)
    with pytest.raises(FusionError, match=r"line 5: no JSON object; and 3 more") as raised:
        model(str(file))
    assert "line 6" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", b"\n\r\n  \n"])
def test_an_empty_file(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(FusionError, match=r"gpt\.jsonl is empty"):
        model(str(file))


def test_ids_that_were_not_asked(file: Path) -> None:
    written(file, *({"id": f"a/{i}", "caption": "A field."} for i in range(9)))
    with pytest.raises(FusionError, match=r"gpt\.jsonl: 7 ids are none that.*line 3: a/2; .*line 7: a/6; and 2 more"):
        ask(file, "a/0", "a/1", "b/1")


def test_no_question_has_a_prediction(file: Path) -> None:
    written(file, {"id": "1.png", "caption": "A field."})
    with pytest.raises(FusionError, match=r"gpt\.jsonl: none of the 2 questions such as a/1 has .* not 1\.png"):
        ask(file, "a/1", "a/2")


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"predictions:.*none\.jsonl: cannot be read \(No such file"):
        model(str(tmp_path / "none.jsonl"))
    with pytest.raises(UsageError, match="cannot be read"):
        model(str(tmp_path))
