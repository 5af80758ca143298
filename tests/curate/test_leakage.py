import csv
import io
from collections.abc import Callable
from typing import Any

from fusionrs_builder.curate import leakage
from fusionrs_builder.shards import Footer
from fusionrs_builder.workspace import Workspace

from .conftest import Curator
from .test_stage import records

Lay = Callable[[Any], None]


def test_report_and_lists(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay(
        {
            "a-00000": [*records(40), {"key": "x", "pixels": "p"}],
            "a-00001": [{"key": "bad", "ir_reason": "unreadable: x"}],
            "b-00000": [
                {"key": "x", "pixels": "p"},
                {"key": "t", "corpus_split": "test", "publisher_captions": ["a dam", "one pier"]},
                {"key": "u", "corpus_split": "train", "publisher_captions": ["a dam", "2", "3", "4", "5"]},
            ],
        }
    )
    rows = curate()
    report = workspace.read_json(leakage.REPORT, {})
    a, b = report["funnel"]["a"], report["funnel"]["b"]
    assert (a["records"], a["left_out"]) == (42, {"refused_upstream": 1})
    assert a["train"] + a["validation"] + a["test"] == 41
    assert b["left_out"] == {"duplicate": 1}
    assert report["groups"]["joined_by"]["b"] == {"pixels": 1, "look": 1, "infrared": 1, "caption": 2}
    assert report["leakage"]["groups_across_splits"] == 0
    assert {"corpus": "b", "published": "train", "split": "test", "records": 1} in report["leakage"][
        "published_split_to_split"
    ], "it shares half of the captions of a test record"
    excluded = list(csv.reader(io.StringIO(workspace.read_bytes("curation/excluded/b.csv").decode())))
    assert excluded == [["id", "reason"], ["b/x", "duplicate: same pixels as a/x"]]
    page = workspace.read_bytes(leakage.PAGE).decode()
    assert "**0 groups lie in more than one split.**" in page
    assert f"| a | 42 | - | 42 | refused_upstream 1 | {a['train']} |" in page
    assert sum(row["keep"] for row in rows.values()) == 43


def test_leaks_are_found_whoever_wrote_the_layer(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    """The report reads the layers and trusts no decision: one that is broken by hand is told."""
    lay({"a-00000": [*records(30), *({"key": k, "corpus_group": "g", "publisher_captions": ["a dam"]} for k in "xy")]})
    curate()
    assert workspace.read_json(leakage.REPORT, {})["leakage"]["groups_across_splits"] == 0
    broken = list(workspace.rows("curation", "a-00000"))
    broken[-1]["split"], broken[-2]["split"] = "test", "train"
    with workspace.writer("curation", "a-00000") as writer:
        for row in broken:
            writer.write(row)
        writer.commit(Footer("curate", "f", items=len(broken)))
    assert not leakage.is_current(workspace)
    report = leakage.write(workspace)
    assert report["leakage"]["groups_across_splits"] == 1
    assert report["leakage"]["sentences"] == {"in_test": 1, "in_train_too": 1}
    assert leakage.lines(workspace)[0].endswith("1 lie across splits")


def test_lists_of_corpora_that_are_gone_are_removed(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(5), "b-00000": records(5)})
    curate()
    workspace.remove("curation", "b-00000")
    leakage.write(workspace)
    assert not workspace.exists("curation/excluded/b.csv")
    assert workspace.exists("curation/excluded/a.csv")


def test_nothing_is_written_twice(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": records(5)})
    curate()
    assert leakage.is_current(workspace)
    workspace.fs.rm_file(workspace.path(leakage.REPORT))
    assert not leakage.is_current(workspace)
    assert leakage.lines(workspace) == []


def test_what_is_rejected_later_is_told(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    """The records are as they were, so curation stands; one item more was refused before it."""
    lay({"a-00000": records(5)})
    curate()
    rows = list(workspace.rows("rgb", "a-00000"))
    with workspace.writer("rgb", "a-00000") as writer:
        for row in rows:
            writer.write(row)
        writer.commit(Footer("test", "f", items=6, refused={"bad_image": 1}))
    curate()
    assert curate.made == []
    funnel = workspace.read_json(leakage.REPORT, {})["funnel"]["a"]
    assert (funnel["items"], funnel["rejected"]) == (6, {"bad_image": 1})


def test_the_page_stands_whatever_publishers_call_their_splits(lay: Lay, curate: Curator, workspace: Workspace) -> None:
    lay({"a-00000": [{"key": "x", "corpus_split": "part|1\nof 2"}]})
    curate()
    assert "| a | part/1 of 2 | train | 1 |" in workspace.read_bytes(leakage.PAGE).decode()
    assert leakage.lines(workspace)[0].startswith("1 groups, the largest of 1 records")
