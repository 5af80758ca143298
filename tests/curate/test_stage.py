import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from fusionrs_builder import config, pipeline
from fusionrs_builder.curate.stage import CurateStage
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.pixels import described, look, phash64
from fusionrs_builder.settings import CurateSettings
from fusionrs_builder.workspace import Workspace

from .conftest import Curator, noise

Lay = Callable[[Any], None]


def records(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"key": f"{number:04d}"} for number in range(start, start + count)]


def test_rows_are_those_of_rgb_in_order(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"naip-00000": records(150), "naip-00001": records(30, 150)})
    rows = curate()
    for shard in ("naip-00000", "naip-00001"):
        ids = [row["id"] for row in workspace.rows("rgb", shard)]
        assert [row["id"] for row in workspace.rows("curation", shard)] == ids
    assert all(row["keep"] and row["reason"] is None for row in rows.values())
    assert Counter(row["split"] for row in rows.values()) == {"train": 144, "validation": 18, "test": 18}
    footer = workspace.footer("curation", "naip-00001")
    assert footer is not None
    assert (footer.items, footer.good, set(footer.inputs)) == (30, 30, {"rgb", "ir", "captions"})


def test_planted_duplicates_across_corpora(lay: Lay, curate: Curator) -> None:
    lay(
        {
            "a-00000": [*records(20), {"key": "z", "pixels": "one"}],
            "b-00000": [*records(20), {"key": "m", "pixels": "one"}, {"key": "k", "pixels": "one"}],
        }
    )
    rows = curate()
    same = [rows[name] for name in ("a/z", "b/k", "b/m")]
    assert [row["keep"] for row in same] == [True, False, False]
    assert [row["reason"] for row in same] == [None, *["duplicate: same pixels as a/z"] * 2]
    assert len({row["group_id"] for row in same}) == len({row["split"] for row in same}) == 1
    assert len({row["group_id"] for row in rows.values()}) == 41
    assert sum(not row["keep"] for row in rows.values()) == 2


def test_same_rgb_with_another_measured_infrared_is_kept(lay: Lay, curate: Curator) -> None:
    """What a sensor saw is not to be lost for a model's drawing of the same scene."""
    measured = {"pixels": "one", "ir_origin": "measured"}
    lay(
        {
            "a-00000": [
                {"key": "drawn", "pixels": "one"},
                {"key": "drawn-otherwise", "pixels": "one", "ir_sha256": "e" * 64},
                {"key": "seen", **measured, "ir_sha256": "c" * 64},
                {"key": "seen-again", **measured, "ir_sha256": "c" * 64},
                {"key": "seen-later", **measured, "ir_sha256": "d" * 64},
            ]
        }
    )
    rows = curate()
    assert {name for name, row in rows.items() if not row["keep"]} == {"a/drawn-otherwise", "a/seen-again"}
    assert rows["a/seen-again"]["reason"] == "duplicate: same pixels as a/seen"
    assert len({row["group_id"] for row in rows.values()}) == 1


def test_same_infrared_groups_but_does_not_drop(lay: Lay, curate: Curator) -> None:
    lay({"a-00000": [{"key": "x", "ir_sha256": "f" * 64}, {"key": "y", "ir_sha256": "f" * 64}, *records(9)]})
    rows = curate()
    assert rows["a/x"]["group_id"] == rows["a/y"]["group_id"]
    assert rows["a/x"]["split"] == rows["a/y"]["split"]
    assert all(row["keep"] for row in rows.values())


def test_refused_upstream(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay(
        {
            "a-00000": [
                *records(10),
                {"key": "ir", "ir_reason": "unreadable: truncated", "ir_sha256": None},
                {"key": "said", "caption_reason": "no_evidence: nothing to say"},
                {"key": "silent", "scene_captions": [], "ir_captions": None},
                {"key": "half", "scene_captions": []},
                {"key": "a-refused", "pixels": "same", "ir_reason": "unreadable: x"},
                {"key": "b-good", "pixels": "same"},
            ]
        }
    )
    rows = curate()
    assert rows["a/ir"]["reason"] == "refused_upstream: ir: unreadable: truncated"
    assert rows["a/said"]["reason"] == "refused_upstream: captions: no_evidence: nothing to say"
    assert rows["a/silent"]["reason"] == "refused_upstream: captions: no captions"
    assert rows["a/half"]["keep"]
    # A refused record of a later shard counts for that shard only.
    lay({"b-00000": [*records(2), {"key": "ir", "ir_reason": "unreadable: x"}]})
    rows = curate()
    assert [rows[f"b/{key}"]["keep"] for key in ("0000", "0001", "ir")] == [True, True, False]
    assert rows["a/0002"]["keep"]
    assert rows["a/0002"]["split"] is not None
    assert rows["b/ir"]["split"] is None
    # A refused record is no reason to drop its twin.
    assert rows["a/b-good"]["keep"]
    assert rows["a/a-refused"]["split"] == rows["a/b-good"]["split"] is not None
    assert rows["a/ir"]["split"] is None
    footer = workspace.footer("curation", "a-00000")
    assert footer is not None
    assert footer.refused == {"refused_upstream": 4}
    assert footer.items == footer.good + 4


def test_done_is_done_and_any_change_redoes_all(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(5), "b-00000": records(5)})
    curate()
    assert curate.made == ["a-00000", "b-00000"]
    curate()
    assert curate.made == []
    workspace.remove("curation", "b-00000")
    curate()
    assert curate.made == ["b-00000"]
    lay({"b-00000": [*records(5), {"key": "new", "pixels": "a/0001"}]})
    rows = curate()
    assert curate.made == ["a-00000", "b-00000"]
    assert rows["b/new"]["reason"] == "duplicate: same pixels as a/0001"
    curate(seed=1)
    assert curate.made == ["a-00000", "b-00000"]
    curate(seed=1, split=(0.5, 0.25, 0.25))
    assert curate.made == ["a-00000", "b-00000"]


def test_a_remade_shard_is_byte_identical(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(50), "b-00000": [*records(50), {"key": "z", "pixels": "a/0007"}]})
    curate()
    before = workspace.read_bytes("curation/b-00000.parquet")
    workspace.remove("curation", "b-00000")
    curate()
    assert workspace.read_bytes("curation/b-00000.parquet") == before


def test_another_corpus_leaves_the_others_alone(lay: Lay, curate: Curator) -> None:
    lay({"m-00000": records(100)})
    before = curate()
    lay({"a-00000": records(77), "z-00000": records(33)})
    after = curate()
    assert {name: after[name] for name in before} == before


def test_outdated_input_is_refused(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(5)})
    workspace.remove("captions", "a-00000")
    with pytest.raises(FusionError, match=r"captions/a-00000 is missing: run `fusionrs-build caption` first"):
        curate()


def test_one_id_twice_is_an_error(lay: Lay, curate: Curator) -> None:
    lay({"a-00000": records(3), "a-00001": records(1, 2)})
    with pytest.raises(FusionError, match="two records have the id a/0002"):
        curate()


def test_the_payload_is_small(lay: Lay, workspace: Workspace) -> None:
    lay({"a-00000": records(1000)})
    stage = CurateStage(CurateSettings(), 0)
    (task,) = stage.prepare(workspace, stage.tasks(workspace))
    assert len(pickle.dumps(task.payload)) < 16 * 1000 + 1000
    assert len(pickle.dumps(stage)) < 1000


def test_what_joins_records_is_said(lay: Lay, curate: Curator) -> None:
    near = noise("one").copy()
    near[:2, :2] ^= 3
    turned = np.ascontiguousarray(np.rot90(near))
    pictures = {
        "turned": {"phash16": described(turned)["phash16"], "look": look(turned)},
        "ir": {"ir_phash": phash64(near), "ir_look": look(near)},
        "ir-again": {"ir_phash": phash64(noise("one")), "ir_look": look(noise("one"))},
    }
    lay(
        {
            "a-00000": [
                {"key": "one", "pixels": "one"},
                {"key": "turned", **pictures["turned"]},
                {"key": "ir", **pictures["ir"]},
                {"key": "ir-again", **pictures["ir-again"]},
                {"key": "said", "publisher_captions": ["Two red planes."]},
                {"key": "said-again", "publisher_captions": ["two red planes"]},
                {"key": "model-too", "model_captions": ["Two red planes"]},
                {"key": "rule", "template_captions": ["two red planes"]},
                {"key": "here", "bbox": [10, 50, 10.01, 50.01]},
                {"key": "there", "bbox": [10.005, 50.005, 10.015, 50.015]},
                {"key": "sequence", "corpus_group": "flight 1"},
                {"key": "sequence-too", "corpus_group": "flight 1"},
                *records(9),
            ]
        }
    )
    rows = curate()
    groups = [["one", "turned"], ["ir", "ir-again"], ["said", "said-again", "model-too"], ["here", "there"],
              ["sequence", "sequence-too"]]  # fmt: skip
    for names, kind in zip(groups, ("look", "infrared", "caption", "place", "publisher"), strict=True):
        same = [rows[f"a/{name}"] for name in names]
        assert len({row["group_id"] for row in same}) == len({row["split"] for row in same}) == 1
        assert all(row["grouped_by"] == [kind] for row in same)
    assert len({row["group_id"] for row in rows.values()}) == len(groups) + 10
    assert rows["a/rule"]["grouped_by"] == []


def test_the_radius_is_a_setting(lay: Lay, curate: Curator) -> None:
    hashes = described(noise("x"))["phash16"]
    lay(
        {
            "a-00000": [
                {"key": "x", "pixels": "x"},
                {"key": "y", "phash16": [h ^ 0b111 for h in hashes], "look": look(noise("x"))},
            ]
        }
    )
    assert len({row["group_id"] for row in curate().values()}) == 1
    assert len({row["group_id"] for row in curate(phash_radius=2).values()}) == 2


def test_splits_of_publishers_are_kept(lay: Lay, curate: Curator) -> None:
    def published(split: str, count: int) -> list[dict[str, Any]]:
        return [{"key": f"{split}-{n}", "corpus_split": split} for n in range(count)]

    lay(
        {
            "a-00000": [*published("train", 60), *published("validation", 20), *published("test", 20)],
            "b-00000": records(100),
        }
    )
    rows = curate()
    assert all(row["split"] == name.split("/")[1].split("-")[0] for name, row in rows.items() if name[0] == "a")
    assert Counter(row["split"] for name, row in rows.items() if name[0] == "b") == {
        "train": 80,
        "validation": 10,
        "test": 10,
    }


def test_a_copy_of_a_test_record_is_not_in_train(lay: Lay, curate: Curator) -> None:
    lay(
        {
            "a-00000": [{"key": str(n), "corpus_split": "train", "pixels": f"p{n}"} for n in range(40)],
            "b-00000": [{"key": "t", "corpus_split": "test", "pixels": "p7"}, *records(40)],
        }
    )
    rows = curate()
    assert rows["b/t"]["split"] == rows["a/7"]["split"] == "test"
    assert rows["b/t"]["keep"], "of equal records the held-out one stays"
    assert rows["a/7"]["reason"] == "duplicate: same pixels as b/t"
    # A test record that cannot be released is in the publisher's test split all the same.
    lay({"b-00000": [{"key": "t", "corpus_split": "test", "pixels": "p7", "ir_reason": "unreadable: x"}, *records(40)]})
    rows = curate()
    assert rows["a/7"]["keep"]
    assert rows["a/7"]["split"] == "test"


def test_of_equal_records_the_one_that_people_wrote_about_stays(lay: Lay, curate: Curator) -> None:
    lay(
        {
            "a-00000": [{"key": "x", "pixels": "p"}],
            "b-00000": [{"key": "x", "pixels": "p", "publisher_captions": ["a dam"]}],
        }
    )
    assert [row["keep"] for row in curate().values()] == [False, True]


def test_protected_benchmarks(lay: Lay, curate: Curator) -> None:
    lay(
        {
            "bench-00000": [{"key": str(n), "corpus_split": "bench", "pixels": f"p{n}"} for n in range(10)],
            "other-00000": [*records(50), {"key": "copy", "pixels": "p3"}],
        }
    )
    rows = curate(protect=("bench:bench",))
    assert {row["split"] for name, row in rows.items() if name.startswith("bench/")} == {"test"}
    assert rows["other/copy"]["split"] == "test"
    with pytest.raises(UsageError, match=r"curate.protect nowhere:test: no corpus nowhere here; there are bench"):
        curate(protect=("nowhere:test",))
    with pytest.raises(UsageError, match=r"curate.protect bench:test: bench has no split test; it has bench"):
        curate(protect=("bench:test",))
    with pytest.raises(ValueError, match=r"'rsicd' is no CORPUS:SPLIT"):
        CurateSettings(protect=("rsicd",))


def test_a_benchmark_that_is_not_there_is_not_remembered(lay: Lay, workspace: Workspace) -> None:
    lay({"bench-00000": records(5)})
    with pytest.raises(UsageError, match=r"curate.protect bench:test: bench has no split test; it has none"):
        pipeline.curate(workspace, protect="bench:test")
    assert config.load(workspace).curate.protect == ()


A, B = ("joint-group:" + digit * 24 for digit in "ab")


def test_published_groups_and_splits_of_an_index_stand(lay: Lay, curate: Curator) -> None:
    """The index of FusionRS grouped its records by the same rule; a search of ours must not move them."""

    def like_p(key: str, **known: Any) -> dict[str, Any]:
        return {"key": key, "phash16": described(noise("p"))["phash16"], "look": look(noise("p")), **known}

    lay(
        {
            "index-00000": [
                like_p("1", corpus_group=A, corpus_split="train"),
                like_p("2", corpus_group=B, corpus_split="test"),
                {"key": "3", "corpus_group": A, "corpus_split": "train"},
            ],
            "mine-00000": [like_p("copy"), *records(20)],
            "video-00000": [like_p("1", corpus_group="flight"), {"key": "2", "corpus_group": "flight"}],
        }
    )
    rows = curate()
    for name in ("1", "3"):
        row = rows[f"index/{name}"]
        assert (row["group_id"], row["split"], row["keep"]) == (A, "train", True)
    assert rows["index/2"]["split"] == "test"
    others = ["index/2", "mine/copy", "video/1", "video/2"]
    assert {rows[name]["group_id"] for name in others} == {B}, "other groups are joined further"


def test_what_is_not_worth_keeping(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    blank = {"entropy": 0.0, "saturation": 1.0, "nodata": None}
    lay(
        {
            "a-00000": [
                *records(10),
                {"key": "blank", "rgb_quality": blank},
                {"key": "small", "width": 20},
                *({"key": f"same-{n}", "publisher_captions": ["a satellite image"]} for n in range(5)),
            ]
        }
    )
    rows = curate(max_same_caption=4)
    reasons = Counter(row["reason"].split(":")[0] for row in rows.values() if row["reason"])
    assert reasons == {"blank": 1, "too_small": 1, "caption_duplicate": 5}
    footer = workspace.footer("curation", "a-00000")
    assert footer is not None
    assert footer.items == footer.good + 7


def test_a_shard_of_which_nothing_is_plain_or_captioned(lay: Lay, curate: Curator) -> None:
    lay({"a-00000": [{"key": "only", "phash16": [0] * 16, "look": bytes(256), "ir_look": None, "ir_phash": None}]})
    assert [row["keep"] for row in curate().values()] == [True]


def test_a_shard_whose_items_were_all_rejected(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(5), "a-00001": []})
    assert len(curate()) == 5
    assert workspace.shards("curation") == ["a-00000", "a-00001"]


def test_captions_without_a_word_join_nothing(lay: Lay, curate: Curator) -> None:
    lay(
        {
            "a-00000": [
                {"key": "dam", "publisher_captions": ["...", "a dam"]},
                {"key": "pier", "publisher_captions": ["!", "a pier"]},
            ]
        }
    )
    assert [row["grouped_by"] for row in curate().values()] == [[], []]
