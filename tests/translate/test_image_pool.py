import numpy as np
import torch

from fusionrs_builder.translate.image_pool import ImagePool


def images(*values):
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1).expand(-1, 1, 2, 2)


def test_it_fills_and_then_gives_old_for_new_half_the_time():
    pool, rng = ImagePool(4, (1, 2, 2)), np.random.default_rng(0)
    assert torch.equal(pool.exchange(images(1, 2, 3, 4), rng), images(1, 2, 3, 4))
    old = 0
    for value in range(5, 205):
        out = pool.exchange(images(value), rng)
        assert out[0, 0, 0, 0] <= value
        old += int(out[0, 0, 0, 0] != value)
    assert 70 < old < 130


def test_it_keeps_no_gradient_and_size_zero_keeps_nothing():
    drawn = images(1.0).clone().requires_grad_()
    assert not ImagePool(2, (1, 2, 2)).exchange(drawn, np.random.default_rng(0)).requires_grad
    empty = ImagePool(0, (1, 2, 2))
    for value in (1, 2, 3):
        assert torch.equal(empty.exchange(images(value), np.random.default_rng(0)), images(value))


def test_its_contents_are_saved_and_resumed():
    pool, again = ImagePool(3, (1, 2, 2)), ImagePool(3, (1, 2, 2))
    pool.exchange(images(1, 2, 3, 4), np.random.default_rng(0))
    again.load_state_dict(pool.state_dict())
    for value in range(5, 15):
        rngs = np.random.default_rng(value), np.random.default_rng(value)
        assert torch.equal(pool.exchange(images(value), rngs[0]), again.exchange(images(value), rngs[1]))
