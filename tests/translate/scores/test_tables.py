from fusionrs_builder.translate.scores.tables import Table, tables

SCORE = {"mean": 0.5, "low": 0.25, "high": 0.75}


def test_markdown_and_html_hold_the_same_cells():
    table = Table("Title", ["a", "b<"], [["1", "2"], ["3", "4"]], "Note.")
    assert table.markdown() == "**Title**\n\n| a | b< |\n| --- | --- |\n| 1 | 2 |\n| 3 | 4 |\n\nNote."
    assert Table("T", ["a"], [["1"]], "").markdown().endswith("| 1 |")
    page = table.html()
    assert "<th>b&lt;</th>" in page
    assert "<tr><td>3</td><td>4</td></tr>" in page


def test_nothing_measured_of_the_same_scene_has_no_table_of_it():
    found = list(tables({"n": 0, "not_measured": {"lpips": "weights not at hand"}}))
    assert [each.title for each in found] == ["Not measured"]
    assert found[0].rows == [["lpips", "weights not at hand"]]


def test_kid_and_fid_are_shown_where_they_were_measured():
    of = {"intensity": SCORE, "c2st": SCORE}
    unpaired = {
        "n": 10,
        "window": 64,
        "frames": {"intensity": {"mean": 100.0, "std": 20.0}},
        "scores": {"new": of, "gray": of},
        "differences": {"gray": of},
        "closer": {"gray": {"closer": 5, "surely": 4, "of": 6}},
        "deep": {"new": {"kid": 0.01, "kid_std": 0.002, "fid": 12.34}},
    }
    text = "\n".join(each.markdown() for each in tables({"n": 0, "unpaired": unpaired}))
    for words in ("| new | 0.0100 (0.0020) | 12.3 |", "| gray | 5 of 6 | 4 |", "| less gray | 0.50 (0.25 to 0.75) |"):
        assert words in text, words
    assert "intensity 100 (std 20)" in text
