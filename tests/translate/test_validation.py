import numpy as np
import torch

from fusionrs_builder import pixels
from fusionrs_builder.translate.networks import luma
from fusionrs_builder.translate.training_data import TrainingData, read
from fusionrs_builder.translate.validation import drawn_middle, middle, validate
from tests.translate.conftest import fill, record, scene


def test_the_middle_is_centred_and_a_multiple_of_4():
    image = np.arange(300 * 22).reshape(300, 22)
    assert middle(image).shape == (256, 20)
    assert middle(image)[0, 0] == image[22, 1]
    assert (
        drawn_middle(luma, scene(40, 41)) - pixels.gray_array(pixels.encode_png(scene(40, 40))).astype(int)
    ).shape == (40, 40)


def test_with_pairs_it_is_likeness_and_without_a_check_there_is_none(workspace):
    """Measured views that are the luma itself: drawing the luma is right, its negative is not."""
    rows = []
    for n in range(40):
        rgb = scene(32, 32, n)
        rows.append(record(str(n), rgb, pixels.gray_array(pixels.encode_png(rgb))))
    fill(workspace, rows)
    data = read([workspace.root], [workspace.root], "nir", paired=True)
    right, wrong = validate(luma, data), validate(lambda rgb: -luma(rgb), data)
    assert right["score"] > 0.99
    assert right["correlation"] > 0.999
    assert wrong["correlation"] < -0.999
    assert validate(luma, TrainingData()) is None


def test_a_corpus_of_many_pairs_counts_no_more_than_one_of_few(workspace):
    """Of the large corpus the luma is right, of the small one its negative."""
    rows = []
    for n in range(60):
        rgb = scene(32, 32, n)
        gray = pixels.gray_array(pixels.encode_png(rgb))
        rows.append(record(str(n), rgb, gray, id=f"large/{n}", corpus="large"))
        if n < 20:
            rows.append(record(str(n), rgb, 255 - gray, id=f"small/{n}", corpus="small"))
    fill(workspace, rows)
    data = read([workspace.root], [workspace.root], "nir", paired=True)
    corpora = [entry.key.partition("/")[0] for entry in data.checks["pairs"]]
    assert corpora.count("large") > corpora.count("small") > 0
    assert abs(validate(luma, data)["correlation"]) < 0.01


def test_without_pairs_it_is_outlines_and_statistics(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(60):
        rgb = scene(32, 32, n)
        for name, image in (("v", rgb), ("i", (rgb[..., 0] // 3 + 150))):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{n}.png").write_bytes(pixels.encode_png(image))
    data = read([str(tmp_path / "v")], [str(tmp_path / "i")], "lwir", paired=False)

    def bright(rgb):
        return luma(rgb) / 3 + 0.5

    def noise(rgb):
        return torch.from_numpy(rng.uniform(-1, 1, (1, 1, *rgb.shape[2:]))).float()

    gray, near, far = (validate(draw, data) for draw in (luma, bright, noise))
    assert near["edges"] > 0.95 > abs(far["edges"])
    assert near["distance"] < gray["distance"] < far["distance"]
    assert near["score"] > gray["score"] > far["score"]


def test_a_few_saturated_pixels_are_no_gulf(tmp_path):
    rng = np.random.default_rng(0)
    for n in range(60):
        view = rng.integers(60 + n, 100 + 2 * n, (32, 32)).astype(np.uint8)
        view[0, : n % 3] = 255
        for name, image in (("v", np.dstack([view] * 3)), ("i", view)):
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / f"{n}.png").write_bytes(pixels.encode_png(image))
    data = read([str(tmp_path / "v")], [str(tmp_path / "i")], "lwir", paired=False)

    def glint(rgb):
        drawn = luma(rgb).clone()
        drawn[..., 0, :] = 1
        return drawn

    assert 0.5 < validate(glint, data)["distance"] < 5
