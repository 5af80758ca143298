from itertools import islice

import numpy as np
import pytest
import torch

from fusionrs_builder import pixels
from fusionrs_builder.translate.batches import batches
from fusionrs_builder.translate.training_data import read
from tests.translate.test_train import folders

OPTIONS = {
    "context": None,
    "size": lambda: 2,
    "side": 32,
    "radiometric": 0.5,
    "exposure": 0.5,
    "clouds": 0.5,
    "seed": 3,
}


@pytest.fixture
def data(tmp_path):
    return read(*folders(tmp_path), "nir", paired=True)


def taken(data, start, n, **options):
    stream = batches(data, start, **{**OPTIONS, "unpaired": True, **options})
    found = list(islice(stream, n))
    stream.close()
    return found


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip((*a[:2], *a.pair), (*b[:2], *b.pair), strict=True))


def test_a_batch_depends_on_seed_step_and_rank_alone(data):
    first = taken(data, 0, 5)
    assert all(same(a, b) for a, b in zip(first[2:], taken(data, 2, 3), strict=True))
    assert not same(first[0], first[1])
    assert not same(first[0], taken(data, 0, 1, seed=4)[0])
    assert not same(first[0], taken(data, 0, 1, rank=1)[0])


def test_pairs_stay_pairs_and_domains_are_drawn_apart(data):
    plain = {"radiometric": 0.0, "exposure": 0.0, "clouds": 0.0}
    for batch in taken(data, 0, 4, **plain):
        rgb, ir = batch.pair
        assert (batch.visible.shape, batch.infrared.shape) == ((2, 3, 32, 32), (2, 1, 32, 32))
        for images in (batch.visible, batch.infrared, rgb, ir):
            assert images.dtype == torch.float32
            assert -1 <= images.min() < images.max() <= 1
        # Green fields are bright in the infrared of their own scene only.
        green = (rgb[:, 1] - rgb[:, 0]).flatten()
        assert np.corrcoef(green, ir.flatten())[0, 1] > 0.8
        other = (batch.visible[:, 1] - batch.visible[:, 0]).flatten()
        assert abs(np.corrcoef(other, batch.infrared.flatten())[0, 1]) < 0.5
    (batch,) = taken(data, 0, 1, unpaired=False)
    assert batch.visible is batch.pair[0]
    assert batch.infrared is batch.pair[1]


def test_less_light_and_clouds_fall_on_both_views_of_a_pair(data):
    dark = taken(data, 0, 6, radiometric=0.0, exposure=1.0, clouds=0.0)
    levels = [((images + 1) * 127.5).mean((1, 2, 3)) for batch in dark for images in batch.pair]
    rgb, ir = torch.cat(levels[::2]), torch.cat(levels[1::2])
    assert rgb.min() < 40
    assert np.corrcoef(rgb, ir)[0, 1] > 0.8


def test_a_damaged_image_says_so(tmp_path):
    data = read(*folders(tmp_path), "nir", paired=True)
    for path in (tmp_path / "visible").iterdir():
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(Exception, match=r"visible/\d+.png: the image is damaged"):
        taken(data, 0, 1)


def test_half_of_a_batch_is_of_the_context_and_the_rest_of_all(tmp_path):
    """Pairs of the context are told by their infrared, which is black."""
    visible, infrared = folders(tmp_path)
    for n in (1, 10, 11, 12, 13):
        (tmp_path / "infrared" / f"{n}.png").write_bytes(pixels.encode_png(np.zeros((48, 48), np.uint8)))
    data = read(visible, infrared, "nir", paired=True)
    options = {"context": data.pairs.matching("visible/1"), "size": lambda: 8, "unpaired": False, "radiometric": 0.0}
    fair = taken(data, 0, 6, exposure=0.0, clouds=0.0, **options)
    own = torch.stack([batch.pair[1].amax((1, 2, 3)) == -1 for batch in fair])
    assert own[:, :4].all()
    assert 0 < own[:, 4:].float().mean() < 1
    assert torch.equal(torch.stack([batch.familiar for batch in fair]), own.float())

    foul = taken(data, 0, 6, exposure=1.0, clouds=0.0, **options)
    assert all(batch.familiar.tolist() == [1.0] * 4 + [0.0] * 4 for batch in foul)
    light = torch.stack([batch.pair[0].amax((1, 2, 3)) for batch in foul])
    assert light[:, :4].min() > -0.2 > light[:, 4:].min()


def test_no_crop_that_is_drawn_from_is_of_one_tone(tmp_path):
    visible, infrared = folders(tmp_path)
    for folder, shape in (("visible", (48, 48, 3)), ("infrared", (48, 48))):
        for path in (tmp_path / folder).iterdir():
            path.write_bytes(pixels.encode_png(np.full(shape, 255, np.uint8)))
    (batch,) = taken(read(visible, infrared, "nir", paired=True), 0, 1, radiometric=0.0, exposure=0.0, clouds=0.0)
    for images in (batch.visible, batch.infrared, batch.pair[0]):
        assert 0 < images.std() < 0.01
    assert (batch.pair[1] == 1).all()  # what was measured stays as it is
