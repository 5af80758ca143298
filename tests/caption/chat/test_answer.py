import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.caption.chat.answer import MAX_REPLY, MalformedError, read
from fusionrs_builder.caption.chat.ledger import Answer

GOOD = {"scene": ["A field."], "ir_aware": ["A dark view.", "  It\nhas\u0000 edges. "], "unsupported": ["ship"]}


def answer(text: str, finish: str = "stop") -> Answer:
    return Answer(text, finish, 1, 1, None, 0.1)


@pytest.mark.parametrize("around", ["{}", "```json\n{}\n```", "```\n{}```", "  {}\n"])
def test_captions_are_read_on_one_line_each(around: str) -> None:
    found = read(answer(around.replace("{}", json.dumps(GOOD))))
    assert found.scene == ("A field.",)
    assert found.ir == ("A dark view.", "It has edges.")
    assert found.unsupported == ("ship",)


@pytest.mark.parametrize(
    ("text", "finish", "what"),
    [
        ("", "stop", "empty"),
        (json.dumps(GOOD)[:-20], "stop", "not one JSON"),
        (json.dumps(GOOD), "length", "cut off"),
        ("x" * MAX_REPLY, "stop", "far too long"),
        ("[1]", "stop", "not a JSON object"),
        ("[" * 100_00, "stop", "not one JSON"),
        ('{"scene": "a", "ir_aware": []}', "stop", '"scene" was not'),
        ('{"scene": ["a"], "ir_aware": [1]}', "stop", '"ir_aware" was not'),
        ('{"scene": ["a"]}', "stop", '"ir_aware" was not'),
        ("I'm sorry, I can't help with that.", "stop", "not one JSON"),
    ],
)
def test_what_holds_no_captions_says_why(text: str, finish: str, what: str) -> None:
    with pytest.raises(MalformedError, match=what):
        read(answer(text, finish))


def test_no_endless_list_is_looked_at() -> None:
    found = read(answer(json.dumps({"scene": ["a b"] * 500, "ir_aware": [], "unsupported": None})))
    assert len(found.scene) == 10


@given(st.one_of(st.text(), st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(), st.text()),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["scene", "ir_aware", "unsupported", "x"]), inner),
).map(json.dumps)))  # fmt: skip
def test_anything_is_read_or_refused(text: str) -> None:
    try:
        found = read(answer(text))
    except MalformedError:
        return
    assert all("\n" not in caption and caption for caption in (*found.scene, *found.ir))
