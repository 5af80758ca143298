import pickle
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from fusionrs_builder.config import CurateSettings
from fusionrs_builder.curate.stage import CurateStage
from fusionrs_builder.errors import FusionError
from fusionrs_builder.workspace import Workspace

from .conftest import Curator

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
    assert len(pickle.dumps(task.payload)) < 10 * 1000 + 1000
    assert len(pickle.dumps(stage)) < 1000
