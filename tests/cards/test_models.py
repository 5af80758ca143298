import ast
import re
from dataclasses import replace
from typing import Any

import pytest
from huggingface_hub import ModelCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id
from hypothesis import given
from hypothesis import strategies as st

from fusionrs_builder.cards import hub
from fusionrs_builder.cards.models import (
    ClipFacts,
    Data,
    Interval,
    Lora,
    ModelFacts,
    Recipe,
    Score,
    VlmFacts,
    clip_card,
    vlm_card,
)
from fusionrs_builder.cards.render import plain

EVIL = "a | b ``` <script>x</script>\n---\r\n# *head* [l](javascript:x) {{ 7*7 }} {% raw %} $$ \u2028 \u202e & : - ? \0"

DATA = Data(
    name="Town",
    repo_id="org/town",
    revision="v1.0",
    split_sha256="ab" * 32,
    origins={"measured": 700, "translated": 300},
    licences={"CC-BY-4.0": 900, "": 100},
)

RECIPE = Recipe(
    losses={"rgb-text": 0.5, "rgb-ir": 1},
    steps=1000,
    batch_size=128,
    learning_rate=5e-6,
    precision="bf16",
    seed=3,
    hardware="1 x A100",
    seconds=1234.4,
    settings={"warmup": 50},
)


def score(contestant: str, infrared: Any, value: float, **others: Any) -> Score:
    values: dict[str, Any] = {
        "task": "retrieval",
        "dataset": "caltech-rgbt",
        "split_sha256": "cd" * 32,
        "protocol": "Any hit, both ways",
        "n": 279,
        "seed": 5,
        "values": {"R@1, %": Interval(value, value - 1, value + 1)},
        **others,
    }
    return Score(contestant=contestant, infrared=infrared, **values)


SCORES = (
    score("mine", "translated", 67.66),
    score("gray", "translated", 21.25),
    score("mine", "measured", 44.5),
    score("org/base", "measured", 30),
    score("gray", "measured", 20.5),
    score("gray-inverted", "measured", 10.5),
    score("duplicate", "measured", 20.25),
)


def clip(**others: Any) -> ClipFacts:
    values: dict[str, Any] = {
        "name": "mine",
        "license": "MIT",
        "base_model": "org/base",
        "data": DATA,
        "recipe": RECIPE,
        "architecture": "ViT-B-32",
        **others,
    }
    return ClipFacts(**values)


def vlm(**others: Any) -> VlmFacts:
    values: dict[str, Any] = {
        "name": "mine",
        "license": "MIT",
        "base_model": "org/base",
        "data": DATA,
        "recipe": RECIPE,
        "lora": Lora(rank=16, alpha=32, targets=["q_proj", "v_proj"], quantisation="4-bit NF4"),
        "views": ["rgb", "ir"],
        "prompt": 'Say "what"\nboth show.',
        **others,
    }
    return VlmFacts(**values)


def card(facts: ModelFacts) -> str:
    return clip_card(facts) if isinstance(facts, ClipFacts) else vlm_card(facts)


def front(text: str) -> dict[str, Any]:
    """As the Hub's own library reads it."""
    found: dict[str, Any] = ModelCard(text).data.to_dict()
    return found


def code(text: str) -> str:
    """The block of Python, which must be one."""
    found = re.findall(r"^```python\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)[0]
    ast.parse(found)
    return found


def rows(text: str, title: str) -> list[list[str]]:
    """The cells of the first table under a heading."""
    (table, *_) = re.findall(r"(?:^\|.*\n)+", text.split(f" {title}\n", 1)[1], re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


@pytest.mark.parametrize(
    ("facts", "library", "pipeline", "tag"),
    [
        (clip(), "open_clip", "zero-shot-image-classification", "clip"),
        (vlm(), "peft", "image-text-to-text", "lora"),
    ],
)
def test_front_matter(facts: ModelFacts, library: str, pipeline: str, tag: str) -> None:
    found = front(card(facts))
    tags = found.pop("tags")
    assert {"remote-sensing", "infrared", tag} <= set(tags)
    assert found == {
        "base_model": "org/base",
        "datasets": ["org/town"],
        "language": "en",
        "library_name": library,
        "license": "mit",
        "pipeline_tag": pipeline,
    }


def test_what_is_not_on_the_hub_is_not_in_the_front_matter() -> None:
    text = clip_card(clip(base_model="/home/me/weights", data=replace(DATA, repo_id="", revision="")))
    assert not {"base_model", "datasets"} & set(front(text))
    assert "Its weights began as those of /home/me/weights." in text
    assert "on the Hub;" not in text and "revision" not in text
    assert "Its weights began at random." in clip_card(clip(base_model=""))


def test_the_index_of_scores_holds_the_models_own() -> None:
    (entry,) = front(clip_card(clip(scores=SCORES)))["model-index"]
    assert entry["name"] == "mine"
    (result,) = entry["results"]
    assert result["task"] == {"type": "image-text-retrieval"}
    assert result["dataset"] == {"name": "caltech-rgbt", "type": "caltech-rgbt"}
    assert [(each["name"], each["value"]) for each in result["metrics"]] == [
        ("R@1, %, translated infrared", 67.66),
        ("R@1, %, measured infrared", 44.5),
    ]
    assert result["metrics"][1]["config"] == "Any hit, both ways"
    assert result["metrics"][1]["args"] == {"low": 43.5, "high": 45.5, "n": 279, "seed": 5}


def test_measured_and_translated_stand_apart_beside_the_controls() -> None:
    text = clip_card(clip(scores=SCORES))
    assert rows(text, "On measured infrared") == [
        ["model", "R@1, %"],
        ["---", "---"],
        ["mine", "44.5 (43.5 to 45.5)"],
        ["org/base", "30 (29 to 31)"],
        ["gray", "20.5 (19.5 to 21.5)"],
        ["gray-inverted", "10.5 (9.5 to 11.5)"],
        ["duplicate", "20.25 (19.25 to 21.25)"],
    ]
    assert [row[0] for row in rows(text, "On translated infrared")[2:]] == ["mine", "gray"]
    measured, translated = text.split("### On ")[1:]
    assert "n = 279; 95 % bootstrap intervals, seed 5" in measured and f"`{'cd' * 32}`" in measured
    assert "Not measured beside it" not in measured
    assert "Not measured beside it: `gray-inverted`, `duplicate`." in translated


def test_scores_that_differ_in_protocol_or_number_are_not_compared() -> None:
    others = [{"protocol": "Groups of captions"}, {"n": 278}, {"dataset": "kaist"}, {"task": "vqa"}, {"seed": 6}]
    text = clip_card(clip(scores=[score("mine", "measured", 1), *(score("gray", "measured", 1, **o) for o in others)]))
    assert text.count("| model |") == 1 + len(others)


def test_a_metric_that_a_contestant_lacks_is_an_empty_cell() -> None:
    more = {"R@1, %": Interval(1, 0, 2), "R@5, %": Interval(3, 2, 4)}
    text = clip_card(clip(scores=[score("mine", "none", 1), score("org/base", "none", 1, values=more)]))
    assert rows(text, "Without infrared")[2:] == [["mine", "1 (0 to 2)", ""], ["org/base", "1 (0 to 2)", "3 (2 to 4)"]]
    assert "`gray`" not in text  # no infrared view that a control could stand in for
    assert [m["name"] for m in front(text)["model-index"][0]["results"][0]["metrics"]] == ["R@1, %"]


def test_nothing_is_made_up() -> None:
    text = vlm_card(vlm(recipe=replace(RECIPE, hardware="", seconds=None), lora=Lora(rank=8, alpha=8, targets=["o"])))
    assert not {"It took", "Trained on", "was held in"} & set(re.findall(r"It took|Trained on|was held in", text))
    assert "## Scores\n\nNot measured.\n" in text
    assert "model-index" not in front(text)
    assert "None" not in text


def test_what_is_told_of_data_and_recipe() -> None:
    text = clip_card(clip(limits=["One town only."], frozen=["text"]))
    assert rows(text, "Data")[2:] == [["measured", "700"], ["translated", "300"]]
    assert "| not stated | 100 |\n| CC-BY-4.0 | 900 |" in text
    assert rows(text, "Recipe")[2:] == [["rgb-text", "0.5"], ["rgb-ir", "1"]]
    for words in (
        "Town (org/town on the Hub), revision v1.0",
        f"`{'ab' * 32}`",
        "1000 steps of 128 records; learning rate 5e-06; bf16; seed 3.\nTrained on 1 x A100.\nIt took 1234 s.\n",
        '"warmup": 50',
        "Left as it was: the text tower.",
        "- 300 of the infrared views",
        "- One town only.\n",
    ):
        assert words in text, words
    assert "drawn from the visible view" not in clip_card(clip(data=replace(DATA, origins={"measured": 1})))


def test_how_to_load() -> None:
    assert '"local-dir:mine"' in code(clip_card(clip()))
    found = code(vlm_card(vlm()))
    assert 'from_pretrained("org/base"' in found and '["rgb.jpg", "ir.jpg"]' in found
    assert r'"Say \"what\"\nboth show."' in found
    only = vlm_card(vlm(views=["ir"]))
    assert '["ir.jpg"]' in code(only) and "given the infrared view." in only


def shape(text: str) -> tuple[int, ...]:
    """Headings, fences, list items and lines of tables outside the front matter, and of how many cells they are."""
    body = ModelCard(text).text
    lines = [line for line in body.splitlines() if not line.startswith((" ", "content"))]
    return (
        *(len([line for line in lines if line.startswith(start)]) for start in ("#", "```", "- ", "|", "**")),
        *(line.count("|") for line in lines if line.startswith("|")),
    )


def told_by(text: str) -> list[ModelFacts]:
    """Facts with every text that a stranger could have written being this one."""
    data = Data(name=text, repo_id=text, revision=text, split_sha256="ab", origins={text: 1}, licences={text: 1})
    recipe = replace(RECIPE, losses={text: 1}, precision=text, hardware=text, settings={text: text})
    values = {text: Interval(1, 0, 2)}
    found = score(text, "measured", 1, dataset=text, protocol=text, split_sha256="ab", values=values)
    of: dict[str, Any] = {"name": text, "license": text, "license_url": text, "base_model": text, "data": data}
    of |= {"recipe": recipe, "scores": [found]}
    lora = Lora(rank=1, alpha=1, targets=[text], quantisation=text)
    return [clip(**of, architecture=text), vlm(**of, lora=lora, prompt=text)]


@given((st.text(min_size=1) | st.just(EVIL) | st.text("`|#-:\\\n*_[]()<>&\"'{}% ", min_size=3)).filter(plain))
def test_strangers_text_breaks_nothing(text: str) -> None:
    for facts, harmless in zip(told_by(text), told_by("x"), strict=True):
        found = card(facts)
        assert shape(found) == shape(card(harmless))
        assert code(found).count("\n") == code(card(harmless)).count("\n")
        head = front(found)
        assert re.fullmatch(r"[a-z0-9.-]+", head["license"])
        assert head["model-index"][0]["name"] == plain(text)
        assert not set(ModelCard(found).text.split("## Model")[1].split("```json")[0]) & set("<>\u2028\u202e\0")


@given(st.from_regex(r"[\w.-]{0,4}(--|\.\.|\.git|/)?[\w.-]{0,100}(/[\w.-]{0,5})?", fullmatch=True) | st.text())
def test_repo_id_is_what_the_hubs_library_takes(text: str) -> None:
    try:
        validate_repo_id(text)
        taken = "/" in text and text.isascii()
    except HFValidationError:
        taken = False
    assert (hub.repo_id(text) == text) is taken


@pytest.mark.parametrize(
    ("name", "url", "expected"),
    [
        ("Apache-2.0", "https://x.org", {"license": "apache-2.0"}),
        ("Town Licence, 2", "", {"license": "other", "license_name": "town-licence-2"}),
        ("§", "javascript:x", {"license": "other", "license_name": "unnamed"}),
        ("A", "https://x.org", {"license": "other", "license_name": "a", "license_link": "https://x.org"}),
    ],
)
def test_licence(name: str, url: str, expected: dict[str, str]) -> None:
    assert hub.licence(name, url) == expected
