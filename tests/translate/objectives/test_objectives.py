import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fusionrs_builder.translate.networks import GeneratorConfig, verdicts
from fusionrs_builder.translate.objectives import OBJECTIVES, Batch, Weights
from fusionrs_builder.translate.objectives.cut import features, nce_layers
from fusionrs_builder.translate.objectives.objective import Shape
from fusionrs_builder.translate.recipe import TrainSettings
from tests.translate.conftest import tiny

SHAPE = Shape(GeneratorConfig(ngf=4, n_blocks=1), ndf=4, pool=2, crop=32, diff_augment=True)


def batch(paired=True, seed=0):
    generator = torch.Generator().manual_seed(seed)
    rgb, ir = (torch.rand(2, channels, 32, 32, generator=generator) * 2 - 1 for channels in (3, 1))
    return Batch(rgb, ir, (rgb, ir) if paired else None)


def made(name, weights=Weights()):
    torch.manual_seed(0)
    return OBJECTIVES[name](SHAPE, weights)


def both(objective, data, seed=0):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    drawing = objective.generator_losses(data, rng)
    return drawing, objective.discriminator_losses(rng)


EXPECTED = {
    "cyclegan": ({"infrared", "visible", "cycle", "identity", "edge", "paired"}, {"judge infrared", "judge visible"}),
    "cut": ({"infrared", "nce", "nce identity", "edge", "paired"}, {"judge infrared"}),
    "pix2pix": ({"infrared", "paired"}, {"judge"}),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_losses_are_finite_scalars_by_name(name):
    drawing, judging = both(made(name), batch())
    assert (set(drawing), set(judging)) == EXPECTED[name]
    for loss in (*drawing.values(), *judging.values()):
        assert loss.shape == ()
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_without_pairs_there_is_no_paired_loss(name):
    drawing, _ = both(made(name), batch(paired=False))
    assert set(drawing) == EXPECTED[name][0] - {"paired"}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_a_weight_of_zero_leaves_a_loss_out_and_others_scale_theirs(name):
    least = Weights(cycle=0, identity=0, nce=0, edge=0, paired=0 if name != "pix2pix" else 1)
    assert set(both(made(name, least), batch())[0]) == {"infrared"} | ({"visible"} if name == "cyclegan" else set()) | (
        {"paired"} if name == "pix2pix" else set()
    )
    once, twice = (both(made(name, Weights(paired=w)), batch())[0]["paired"] for w in (1.0, 2.0))
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_parameters_are_of_the_drawers_or_of_the_judges(name):
    objective = made(name)
    drawing, judging = list(objective.drawing()), list(objective.judging())
    assert len(drawing) + len(judging) == len(list(objective.parameters()))
    assert {id(p) for p in objective.generator.parameters()} <= {id(p) for p in drawing}
    # What discriminators mistake teaches no drawer.
    mistakes = both(objective, batch())[1]
    sum(mistakes.values()).backward()
    assert all(p.grad is None for p in drawing)
    assert all(p.grad is not None for p in judging)


def test_regression_alone_has_no_judge():
    objective = made("pix2pix", Weights(adversarial=0))
    assert objective.discriminators() == []
    drawing, judging = both(objective, batch())
    assert (set(drawing), judging) == ({"paired"}, {})


def test_the_gates_learn_to_tell_what_is_familiar_and_move_no_expert():
    torch.manual_seed(0)
    objective = OBJECTIVES["pix2pix"](
        replace(SHAPE, generator=GeneratorConfig(ngf=4, n_blocks=1, local=4)), Weights(adversarial=0)
    )
    generator, rng = objective.generator, np.random.default_rng(0)
    optimizer = torch.optim.Adam(generator.parameters(), 3e-3)
    before = copy.deepcopy(generator.state_dict())
    told = torch.tensor([1.0, 1, 1, 1, 1, 0, 1, 0])
    for _ in range(60):
        rgb = torch.rand(8, 3, 32, 32) * 0.4 + told[:, None, None, None] * 0.6 - 1
        loss = objective.generator_losses(Batch(rgb, rgb[:, :1], (rgb, rgb[:, :1]), told), rng)["gate"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        found = verdicts(generator.gate(rgb)).sigmoid()
    assert found[told == 1].min() > 0.8 > 0.2 > found[told == 0].max()
    assert all(torch.equal(before[k], t) for k, t in generator.state_dict().items() if not k.startswith("gate."))


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_whole_views_are_judged_beside_patches_or_instead_of_them(name):
    drawing, judging = both(made(name, Weights(views=1)), batch())
    assert (set(drawing), set(judging)) == (EXPECTED[name][0] | {"views"}, EXPECTED[name][1] | {"judge views"})
    if name == "cut":
        alone = made(name, Weights(adversarial=0, views=1, nce=0))
        drawing, judging = both(alone, batch(paired=False))
        assert (set(drawing), set(judging)) == ({"views", "edge"}, {"judge views"})
        assert alone.discriminators() == [alone.judge_views]
        numbers = made(name, Weights(adversarial=0, features=0.5, nce=0))
        drawing, judging = both(numbers, batch(paired=False))
        assert (set(drawing), set(judging)) == ({"features", "edge"}, {"judge features"})
        assert numbers.discriminators() == [numbers.judge_features]
        drawing["features"].backward()
        assert any(parameter.grad is not None for parameter in numbers.generator.parameters())


def test_a_judge_of_views_learns_to_tell_tones_and_textures_and_draws_the_generator_after_it():
    torch.manual_seed(0)
    shape = replace(SHAPE, generator=GeneratorConfig(ngf=4, n_blocks=1, norm="none", tone=3), ndf=8)
    objective = OBJECTIVES["cut"](shape, Weights(adversarial=0, views=1, nce=0, edge=0))
    drawers, judges = (torch.optim.Adam(list(p), 3e-3) for p in (objective.drawing(), objective.judging()))
    rng, told, apart = np.random.default_rng(0), [], []
    for _ in range(60):
        rgb, real = torch.rand(8, 3, 32, 32) * 0.4 - 0.9, torch.rand(8, 1, 32, 32) * 0.2 + 0.5
        drawing = objective.generator_losses(Batch(rgb, real), rng)
        judging = objective.discriminator_losses(rng)
        for losses, optimizer in ((drawing, drawers), (judging, judges)):
            optimizer.zero_grad()
            sum(losses.values()).backward(retain_graph=losses is drawing)
            if losses is drawing:
                objective.judge_views.zero_grad()
            optimizer.step()
        told.append(judging["judge views"].item())
        apart.append((objective.generator(rgb).mean() - real.mean()).abs().item())
    assert min(told) < 1  # 2 ln 2 is by chance
    assert min(apart) < 0.5 * apart[0]


@pytest.mark.parametrize("name", ["cyclegan", "cut"])
def test_an_unpaired_objective_needs_its_adversary(name):
    with pytest.raises(Exception, match=f"{name} without its adversary learns nothing"):
        TrainSettings(objective=name, weights=Weights(adversarial=0))


def test_the_way_back_of_a_cycle_sees_what_an_8_bit_file_keeps():
    objective = made("cyclegan", Weights(cycle=1))
    seen = []
    objective.back.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach()))
    objective.generator_losses(batch(), np.random.default_rng(0))
    levels = (seen[1] + 1) * 127.5  # the first call is the real infrared
    torch.testing.assert_close(levels, levels.round(), atol=1e-3, rtol=0)


@pytest.mark.parametrize(("blocks", "layers"), [(9, (0, 4, 7, 10, 14)), (6, (0, 4, 7, 10, 14)), (1, (0, 4, 7, 10, 10))])
def test_cut_looks_at_five_layers_of_any_generator(blocks, layers):
    network = tiny(n_blocks=blocks)
    assert nce_layers(network) == layers
    x = torch.rand(1, 3, 32, 32)
    found = features(network, x, layers)
    assert [f.shape[1] for f in found] == [3, 8, 16, 16, 16]
    torch.testing.assert_close(found[3], network.model[:11](x))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_its_state_is_all_there_is(name):
    first, second = made(name), made(name)
    both(first, batch())
    second.load_state_dict(first.state_dict())
    for one, other in zip(both(first, batch(seed=1), 5), both(second, batch(seed=1), 5), strict=True):
        for key in one:
            assert torch.equal(one[key], other[key]), key
