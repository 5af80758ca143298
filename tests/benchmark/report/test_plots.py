import io
import sys
import warnings

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.benchmark.report.plots import DPI, LOOKS, ROW, ROWS, WIDTH, draw
from fusionrs_builder.benchmark.report.tables import shortened, tables
from fusionrs_builder.errors import UsageError
from tests.benchmark.report.test_merge import result
from tests.benchmark.report.test_tables import exactly, saved


def table(*names, headline="mAP", inputs=("infrared", "gray")):
    found = [
        saved(result(headline, {headline: exactly((5 + n) / (7 + len(names)), 50)}, model=name, inputs=shown))
        for n, name in enumerate(names)
        for shown in inputs
    ]
    return tables(found)[0]


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


def test_the_same_table_gives_the_same_bytes_without_a_trace_of_the_software():
    assert draw(table("a", "b")) == draw(table("a", "b"))
    assert draw(table("a", "b")) != draw(table("a", "c"))
    assert set(opened(draw(table("a"))).info) <= {"dpi"}


def test_a_plot_grows_with_its_rows_up_to_a_limit():
    sizes = [opened(draw(table(*map(str, range(models))))).size for models in (1, 10, 20, 25)]
    assert {width for width, _ in sizes} == {WIDTH * DPI}
    assert sizes[1][1] - sizes[0][1] == pytest.approx(18 * ROW * DPI, abs=1)
    assert sizes[2][1] == sizes[3][1]
    assert sizes[2][1] - sizes[0][1] == pytest.approx((ROWS - 2) * ROW * DPI, abs=1)


def test_infrared_is_coloured_and_controls_are_grey():
    found = table("a", "b", inputs=("gray", "gray-inverted", "duplicate"))
    array = np.asarray(opened(draw(found)).convert("RGB")).astype(int)
    assert np.ptp(array, axis=2).max() < 8
    blue = tuple(bytes.fromhex(LOOKS["infrared"][0][1:]))
    array = np.asarray(opened(draw(table("a"))).convert("RGB"))
    assert (array == blue).all(axis=2).sum() > 100


@pytest.mark.parametrize("name", ["$\\frac{$", "a$b", "模型\U0001f600", "x" * 500, "\n\t\u202e", "%s {0}"])
def test_any_name_can_be_drawn(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        named = {"model": name, "dataset": name, "inputs": name, "task": name}
        (found,) = tables([saved(result(name, {name: exactly(0.5)}, **named))])
        data = draw(found)
    assert opened(data).size[0] == WIDTH * DPI


def test_the_settings_of_a_user_change_nothing():
    import matplotlib

    before = draw(table("a"))
    with matplotlib.rc_context({"font.size": 20, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        assert draw(table("a")) == before


def test_without_matplotlib_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(UsageError, match=r"pip install 'fusionrs-builder\[bench\]'"):
        draw(table("a"))


def test_long_names_lose_their_middle():
    assert shortened("abcdefghij", 10) == "abcdefghij"
    assert shortened("abcdefghijk", 10) == "abcde…hijk"
    assert len(shortened("a" * 99, 10)) == len(shortened("a" * 99, 11)) - 1 == 10
