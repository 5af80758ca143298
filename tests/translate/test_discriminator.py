import torch

from fusionrs_builder.translate.discriminator import PatchDiscriminator


def test_it_tells_how_bright_and_how_contrasty_an_image_is():
    torch.manual_seed(0)
    judge, image = PatchDiscriminator(1, 8), torch.rand(1, 1, 64, 64) - 0.5
    score = judge(image).mean()
    assert (judge(image + 0.3).mean() - score).abs() > 1e-3
    assert (judge(image * 0.5).mean() - score).abs() > 1e-3


def test_a_score_sees_70_pixels():
    judge = PatchDiscriminator(1, 4)
    image = torch.rand(1, 1, 256, 256, requires_grad=True)
    scores = judge(image)
    assert scores.shape == (1, 1, 30, 30)
    scores[0, 0, 15, 15].backward()
    rows = image.grad[0, 0].abs().sum(1).nonzero().flatten()
    assert rows.max() - rows.min() + 1 == 70
