from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.workspace import Workspace
from tests.corpora.reading import build, by_key, captions, faults, put_images, put_json, reader


def talk(image: Any, *turns: str, names: tuple[str, str] = ("human", "gpt")) -> dict[str, Any]:
    said = [{"from": names[number % 2], "value": value} for number, value in enumerate(turns)]
    return {"id": "0", "image": image, "conversations": said}


REFER = "[refer] give me the location of <p> ship at the top </p>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put_images(tmp_path, *(f"images/{number}.png" for number in range(4)))
    put_json(
        tmp_path / "GeoChat_Instruct.json",
        [
            talk("0.png", "<image>\nDescribe the image in detail.", "A harbour.", "How many ships?", "Two."),
            talk("0.png", f"<image>\n{REFER}", "{<40><50><60><70>|<90>}"),
            talk("0.png", "<image>\n[caption] Describe the image in detail", "Ships at a quay."),
            talk("1.png", "<image>\nClassify the image. Answer in one word.", "Harbor", "Is it rural?", "No"),
            talk("2.png", "<image>\n[identify] {<40><50><60><70>|<90>}", "a ship"),
            talk("3.png", "[grounding] Describe the image.", "<p>Ships</p> {<40><50><60><70>|<90>} at a quay."),
        ],
    )
    return tmp_path


def test_only_answers_about_the_whole_scene_are_captions(root: Path) -> None:
    found = reader(root, "conversations", caption_origin="model")
    items = by_key(found.items())
    assert found.read(items["images/0"]).model_captions == ["A harbour.", "Ships at a quay."]
    assert faults(items.values()) == dict.fromkeys(("images/1", "images/2", "images/3"), "no_caption")
    fault = items["images/1"].fault
    assert fault and fault[1].startswith("GeoChat_Instruct.json#3: none of 1 records of images/1.png")


@pytest.mark.parametrize(
    "request_",
    [
        "Describe the image in detail",
        "Please describe this aerial image briefly.",
        "Can you describe the contents of the given remote sensing image?",
        "Could you please provide a detailed description of the satellite image?",
        "Write a short caption for the image.",
        "Provide a one-sentence caption for the provided image",
        "Summarize the visual content of the image.",
        "What do you see in this picture?",
        "[caption]",
    ],
)
def test_requests_for_a_caption(tmp_path: Path, request_: str) -> None:
    assert reader(tmp_path, "conversations").is_caption(f"<image>\n{request_}")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "request_",
    [
        "Describe the car in the image",
        "Describe the location of the ship in this image.",
        "Describe the image in one word",
        "Describe the region {<10><20><30><40>|<5>} of the image",
        "What is the colour of the car in the image?",
        "Is the image described as rural?",
        "Classify the image",
        "[vqa] Describe the image",
        "[grounding] Describe the image in detail",
        "[caption] {<10><20><30><40>|<5>}",
        "",
    ],
)
def test_requests_for_anything_else(tmp_path: Path, request_: str) -> None:
    assert not reader(tmp_path, "conversations").is_caption(f"<image>\n{request_}")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "answer", ["Ships {<40><50><60><70>|<90>} here", "<p>ships</p> here", "ships at [12, 30, 40, 50]", "<box>1</box>"]
)
def test_answers_with_places_in_them_are_left_out(tmp_path: Path, answer: str) -> None:
    put_images(tmp_path, "0.png")
    put_json(tmp_path / "a.json", [talk("0.png", "Describe the image.", answer)])
    assert faults(reader(tmp_path, "conversations").items()) == {"0": "no_caption"}


def test_other_wordings_can_be_given(root: Path) -> None:
    found = reader(root, "conversations", columns={"prompt": r"classify the image\. answer in one word"})
    assert captions(found, by_key(found.items())["images/1"]) == ["Harbor"]
    with pytest.raises(UsageError, match="prompt is not a regular expression"):
        reader(root, "conversations", columns={"prompt": "("})


def test_every_record_of_no_use_is_counted(tmp_path: Path, ws: Workspace) -> None:
    put_images(tmp_path, *(f"{number}.png" for number in range(6)))
    ask = "<image>\nDescribe the image."
    put_json(
        tmp_path / "VRSBench_train.json",
        [
            talk("0.png", ask, "A harbour.", names=("user", "assistant")),
            talk("1.png", ask, " "),
            {"id": "2", "conversations": []},
            talk(["1.png", "2.png"], ask, "Two harbours."),
            talk("gone.png", ask, "Gone."),
            {"id": "5", "image": "2.png"},
            {"id": "6", "image": "3.png", "conversations": [{"from": "human"}]},
            talk(["4.png"], ask, "A list of one."),
            "text",
        ],
    )
    place = "VRSBench_train.json#"
    assert faults(reader(tmp_path, "conversations").items()) == {
        f"{place}1": "empty_caption",
        f"{place}2": "missing_key",
        f"{place}3": "several_images",
        f"{place}4": "missing_image",
        f"{place}5": "missing_key",
        f"{place}6": "missing_key",
        f"{place}8": "missing_key",
        "5": "missing_annotation",
    }
    rows, refused = build(ws, tmp_path, "conversations")
    assert {key: row["corpus_split"] for key, row in rows.items()} == {"0": "train", "4": "train"}
    assert refused.total() == 8


def test_a_file_that_is_broken_is_named(root: Path) -> None:
    data = (root / "GeoChat_Instruct.json").read_bytes()
    (root / "GeoChat_Instruct.json").write_bytes(data[:-9])
    with pytest.raises(FusionError, match="GeoChat_Instruct.json ends in the middle"):
        list(reader(root, "conversations").items())
    (root / "GeoChat_Instruct.json").write_text("[]")
    with pytest.raises(UsageError, match=r"holds no file that is of the shape \[\{.image., .conversations"):
        list(reader(root, "conversations").items())
