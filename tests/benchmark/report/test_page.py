import base64
import re
import sys
from html.parser import HTMLParser
from itertools import permutations

import pytest

from fusionrs_builder.benchmark.report.merge import group, merged
from fusionrs_builder.benchmark.report.page import anchor, write
from fusionrs_builder.errors import UsageError
from tests.benchmark.report.test_merge import edited, put, result, values

EVIL = '<script>alert("1")</script>'


class Page(HTMLParser):
    """What a browser would see."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.cells: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in ("meta", "img"):
            self.open.append(tag)
        if tag == "td":
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "td" in self.open:
            self.cells[-1] += data


def run(folder, seed=0, **named):
    for origin in ("measured", "translated"):
        for inputs in ("infrared", "gray"):
            found = result(origin=origin, inputs=inputs, metrics={"mAP": values(seed), "AP <i>": values(9)}, **named)
            put(folder, found)
    return folder


def test_a_report_stands_by_itself(tmp_path):
    run(tmp_path / "r")
    written = write([tmp_path / "r"], tmp_path / "out")
    assert [path.relative_to(tmp_path / "out").as_posix() for path in written.values()] == list(written)
    assert sorted(written) == sorted(
        path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*") if path.is_file()
    )
    plots = [name for name in written if name.startswith("plots/")]
    assert len(plots) == 2 and {"report.md", "report.csv", "report.html"} == set(written) - set(plots)
    text = written["report.html"].read_text()
    images = [attributes["src"] for tag, attributes in Page(text).tags if tag == "img"]
    pictures = [base64.b64decode(image.removeprefix("data:image/png;base64,")) for image in images]
    assert sorted(pictures) == sorted(written[name].read_bytes() for name in plots)
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text) and "http" not in text.replace("http-equiv", "")
    assert set(re.findall(r"\]\((plots/.*?)\)", written["report.md"].read_text())) == set(plots)


def test_every_link_leads_to_a_table(tmp_path):
    written = write([run(tmp_path / "r")], tmp_path / "out")
    tags = Page(written["report.html"].read_text()).tags
    links = [attributes["href"].removeprefix("#") for tag, attributes in tags if tag == "a"]
    assert links == [attributes["id"] for tag, attributes in tags if tag == "section"]
    assert len(set(links)) == 2


def test_what_strangers_wrote_is_text(tmp_path):
    named = dict.fromkeys(("model", "pretrained", "dataset", "protocol", "task"), EVIL)
    run(tmp_path / "r", **named)
    put(
        tmp_path / "r",
        result(band=EVIL, inputs=EVIL),
        split=EVIL,
        leakage={"declared": [EVIL], "unknown": [EVIL], "groups": 1, "records": 1, "of": 30},
    )
    edited(*put(tmp_path / "r", result(task="vqa")), model="\ud800")  # no text, but JSON
    written = write([tmp_path / "r"], tmp_path / "out")
    page = Page(written["report.html"].read_text())
    assert not page.open
    assert "script" not in {tag for tag, _ in page.tags}
    assert not [name for _, attributes in page.tags for name in attributes if name.startswith("on")]
    assert f"{EVIL} ({EVIL})" in page.cells
    assert "<script" not in written["report.md"].read_text()
    assert all(re.fullmatch(r"plots/[A-Za-z0-9.-]+\.png", name) for name in written if "/" in name)


def test_the_same_results_give_the_same_bytes_in_any_order(tmp_path):
    folders = [run(tmp_path / "a"), run(tmp_path / "b", 1, model="other"), run(tmp_path / "c", 2, task="vqa")]
    put(tmp_path / "d", result(metrics={"mAP": values(0), "AP <i>": values(9)}), seconds=3.0)  # as in a
    found = set()
    for n, order in enumerate(permutations([*folders, tmp_path / "d"], 4)):
        if n % 8 == 0:
            written = write(order, tmp_path / f"out{n}")
            found.add(tuple((name, path.read_bytes()) for name, path in written.items()))
    assert len(found) == 1


def test_a_report_takes_the_place_of_an_older_one(tmp_path):
    run(tmp_path / "a")
    first = write([tmp_path / "a"], tmp_path / "out")
    before = first["report.md"].read_bytes()
    run(tmp_path / "b", 1, model="other")
    again = write([tmp_path / "a", tmp_path / "b"], tmp_path / "out")
    assert again.keys() == first.keys()
    assert again["report.md"].read_bytes() != before


def test_nothing_is_written_where_something_is_wrong(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        write([run(tmp_path / "r")], tmp_path / "file")
    with pytest.raises(UsageError, match="no results there"):
        (tmp_path / "empty").mkdir()
        write([tmp_path / "empty"], tmp_path / "out")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match="matplotlib"):
        write([tmp_path / "r"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_groups_that_are_written_alike_have_files_of_their_own(tmp_path):
    run(tmp_path, dataset="a/b")
    run(tmp_path, dataset="a_b", model="other")
    groups = {group(each) for each in merged([tmp_path])}
    assert len(groups) == len({anchor(of) for of in groups}) == 4
