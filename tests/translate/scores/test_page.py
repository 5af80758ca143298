import json

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.errors import FusionError
from fusionrs_builder.translate.evaluate import evaluate
from fusionrs_builder.translate.scores.page import GAP, LABEL, SIDE, Chip, chip, sheet, write
from fusionrs_builder.translate.translator import CONTROLS
from tests.translate.conftest import scene
from tests.translate.test_evaluate import pairs


def test_a_chip_shows_the_centre_of_every_view():
    rgb = scene(50, 60)
    made = chip("a", rgb, rgb[..., 1], [CONTROLS["gray"], CONTROLS["gray-inverted"]], 32)
    assert list(made.views) == ["RGB", "measured", "gray", "gray-inverted"]
    assert np.array_equal(made.views["measured"], rgb[9:41, 14:46, 1])
    assert np.array_equal(made.views["gray-inverted"], 255 - made.views["gray"])
    assert list(chip("a", rgb, None, []).views) == ["RGB"]
    assert chip("a", rgb, None, []).views["RGB"].shape == (50, 50, 3)


def test_every_view_is_on_the_sheet_in_its_place():
    flat = [np.full((16, 16), level, np.uint8) for level in (40, 90, 140, 190)]
    image = sheet([Chip(f"k{n}", dict(zip("abcd", flat, strict=True))) for n in range(5)])
    wide, high = 4 * (SIDE + GAP) + 2 * GAP, SIDE + 2 * LABEL + GAP
    assert image.size == (2 * wide, 3 * high)
    for n in range(5):
        for column, level in enumerate((40, 90, 140, 190)):
            at = (n % 2 * wide + GAP + column * (SIDE + GAP) + SIDE // 2, n // 2 * high + 2 * LABEL + SIDE // 2)
            assert image.getpixel(at) == (level, level, level)
    assert image.getpixel((wide + wide // 2, 2 * high + high // 2)) == (255, 255, 255)


def test_a_report_is_written_and_an_old_picture_is_not_kept(tmp_path):
    result = evaluate(CONTROLS["gray"], pairs(3))
    chips = [chip("<b>", scene(20, 20), None, [CONTROLS["gray"]])]
    write(tmp_path / "r", "a < b", result, chips, chips)
    assert {path.name for path in (tmp_path / "r").iterdir()} == {
        "report.json", "report.md", "index.html", "translations.jpg", "frames.jpg",
    }  # fmt: skip
    assert json.loads((tmp_path / "r/report.json").read_text()) == result
    page = (tmp_path / "r/index.html").read_text()
    for words in ("a &lt; b", 'src="translations.jpg"', 'src="frames.jpg"', "<td>gray-inverted</td>", "n = 3 images"):
        assert words in page, words
    assert "| gray-inverted |" in (tmp_path / "r/report.md").read_text()
    Image.open(tmp_path / "r/translations.jpg").verify()
    write(tmp_path / "r", "a", result, chips)
    assert not (tmp_path / "r/frames.jpg").exists()
    assert "frames.jpg" not in (tmp_path / "r/index.html").read_text()


def test_a_folder_that_cannot_be_is_an_error_with_the_fix(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match="name another folder by --out"):
        write(tmp_path / "file", "a", evaluate(CONTROLS["gray"], pairs(1)), [])
