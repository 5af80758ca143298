import copy
from contextlib import contextmanager

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from tests.processes import two
from train.gradient_cache import cached_backward
from train.loss import Rows, Terms, gathered, trimodal

ROWS = 12
"""Of the batch; the last is a record that stands twice."""


class Towers(nn.Module):
    """One image tower and one of text, with dropout."""

    def __init__(self, dtype, dropout):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(6, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 4)).to(dtype)
        self.text = nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 4)).to(dtype)

    def forward(self, rows):
        views = {"rgb": self.image, "infrared": self.image, "scene": self.text, "infrared_text": self.text}
        return {name: F.normalize(tower(rows[name]), dim=1) for name, tower in views.items()}


class Task:
    """A batch, the towers, and the parameters of the loss."""

    def __init__(self, dtype=torch.float64, dropout=0.3, kind="siglip", terms=None):
        torch.manual_seed(0)
        widths = {"rgb": 6, "infrared": 6, "scene": 5, "infrared_text": 5}
        self.inputs = {name: torch.randn(ROWS, width, dtype=dtype) for name, width in widths.items()}
        self.towers = Towers(dtype, dropout)
        self.scale = nn.Parameter(torch.tensor(2.0, dtype=dtype))
        self.bias = nn.Parameter(torch.tensor(-1.0, dtype=dtype))
        self.kind, self.terms = kind, terms or Terms(fused_text=0.5)
        group = torch.randint(-1, 5, (2, ROWS))
        record = torch.tensor([*range(ROWS - 1), 0])
        self.rows = Rows(record, group[0], group[1], torch.rand(ROWS) < 0.8, torch.rand(ROWS) < 0.8)

    def loss(self, views):
        views = {name: gathered(view) for name, view in views.items()}
        return trimodal(views, self.rows, self.terms, self.kind, self.scale.exp(), self.bias)

    def chunks(self, sizes, towers=None):
        starts = torch.tensor([0, *sizes]).cumsum(0)
        return [
            lambda here=slice(start, start + size): (towers or self.towers)(
                {k: x[here] for k, x in self.inputs.items()}
            )
            for start, size in zip(starts.tolist(), sizes, strict=False)
        ]

    def gradients(self):
        named = {**dict(self.towers.named_parameters()), "scale": self.scale, "bias": self.bias}
        return {name: None if x.grad is None else x.grad.clone() for name, x in named.items()}


def plain(task, sizes):
    """All chunks with their graphs at once, one backward pass."""
    parts = [chunk() for chunk in task.chunks(sizes)]
    terms = task.loss({name: torch.cat([part[name] for part in parts]) for name in parts[0]})
    sum(terms.values()).backward()
    return {name: float(term.detach()) for name, term in terms.items()}


def assert_same(found, expected, atol):
    assert found.keys() == expected.keys()
    for name, slope in expected.items():
        if slope is None:
            assert found[name] is None
        else:
            torch.testing.assert_close(found[name], slope, atol=atol, rtol=0)


@pytest.mark.parametrize("sizes", [[4, 4, 4], [5, 5, 2], [1] * 12, [12]])
@pytest.mark.parametrize("kind", ["infonce", "siglip"])
@pytest.mark.parametrize(("dtype", "atol"), [(torch.float32, 1e-6), (torch.float64, 1e-12)])
def test_the_gradients_are_those_of_one_backward_pass_with_dropout_on(dtype, atol, kind, sizes):
    ours, theirs = Task(dtype, kind=kind), Task(dtype, kind=kind)
    torch.manual_seed(1)
    terms = cached_backward(ours.chunks(sizes), ours.loss)
    after = torch.get_rng_state()
    torch.manual_seed(1)
    assert terms == pytest.approx(plain(theirs, sizes), abs=atol)
    assert len(terms) == 4 and torch.equal(after, torch.get_rng_state())
    found = ours.gradients()
    assert found["scale"].any() and (found["bias"] is not None) == (kind == "siglip")
    assert_same(found, theirs.gradients(), atol)


def test_without_dropout_chunks_are_the_batch_whole():
    ours, theirs = Task(dropout=0), Task(dropout=0)
    cached_backward(ours.chunks([5, 7]), ours.loss)
    sum(theirs.loss(theirs.towers(theirs.inputs)).values()).backward()
    assert_same(ours.gradients(), theirs.gradients(), 1e-12)


def test_gradients_add_up():
    once, twice = Task(dropout=0), Task(dropout=0)
    cached_backward(once.chunks([5, 7]), once.loss)
    for sizes in ([5, 7], [12]):
        cached_backward(twice.chunks(sizes), twice.loss)
    assert_same(twice.gradients(), {name: 2 * slope for name, slope in once.gradients().items()}, 1e-12)


def test_one_chunk_is_embedded_once_and_more_of_them_twice_a_graph_at_a_time():
    task, seen = Task(), []

    def watched(chunk):
        def embed():
            views = chunk()
            seen.append(views["rgb"].requires_grad)
            return views

        return embed

    cached_backward([watched(chunk) for chunk in task.chunks([12])], task.loss)
    assert seen == [True]
    seen.clear()
    cached_backward([watched(chunk) for chunk in task.chunks([4, 4, 4])], task.loss)
    assert seen == [False] * 3 + [True] * 3


def test_the_context_without_synchronising_holds_all_but_the_last_chunk():
    task, log = Task(), []

    @contextmanager
    def no_sync():
        log.append("in")
        yield
        log.append("out")

    def logged(chunk):
        return lambda: log.append("graph" if torch.is_grad_enabled() else "embed") or chunk()

    task.towers.image[0].weight.register_hook(lambda slope: log.append("slope"))
    cached_backward([logged(chunk) for chunk in task.chunks([6, 3, 3])], task.loss, no_sync)
    assert [step for step, before in zip(log, [None, *log], strict=False) if step != before] == [
        *["embed", "in", "graph", "slope", "out"],
        *["in", "graph", "slope", "out"],
        *["graph", "slope"],
    ]


@pytest.mark.parametrize("frozen", [["text"], ["text", "image"]])
def test_frozen_towers_stay_as_they_are(frozen):
    ours, theirs = Task(), Task()
    for task in (ours, theirs):
        for name in frozen:
            getattr(task.towers, name).requires_grad_(False)
    torch.manual_seed(1)
    cached_backward(ours.chunks([5, 7]), ours.loss)
    torch.manual_seed(1)
    plain(theirs, [5, 7])
    assert ours.gradients()["text.0.weight"] is None and ours.gradients()["scale"] is not None
    assert_same(ours.gradients(), theirs.gradients(), 1e-12)


def test_embeddings_that_the_loss_does_not_use_give_no_gradient():
    ours, theirs = (Task(terms=Terms(0, 0, 1, 0)) for _ in range(2))
    torch.manual_seed(1)
    terms = cached_backward(ours.chunks([5, 7]), ours.loss)
    torch.manual_seed(1)
    plain(theirs, [5, 7])
    assert list(terms) == ["rgb_ir"] and ours.gradients()["text.0.weight"] is None
    assert_same(ours.gradients(), theirs.gradients(), 1e-12)


def test_a_scale_and_a_bias_may_be_fixed():
    ours, theirs = Task(), Task()
    for task in (ours, theirs):
        task.scale.requires_grad_(False)
        task.bias.requires_grad_(False)
    torch.manual_seed(1)
    cached_backward(ours.chunks([5, 7]), ours.loss)
    torch.manual_seed(1)
    plain(theirs, [5, 7])
    assert ours.gradients()["scale"] is None
    assert_same(ours.gradients(), theirs.gradients(), 1e-12)


@pytest.mark.parametrize("sizes", [[12], [5, 7]])
def test_a_batch_without_terms_touches_no_gradient(sizes):
    task = Task()
    assert cached_backward(task.chunks(sizes), lambda views: {}) == {}
    assert not any(slope is not None for slope in task.gradients().values())


@pytest.mark.parametrize("around", ["each chunk", "everything"])
def test_under_autocast_they_are_those_of_autocast(around):
    ours, theirs = Task(torch.float32), Task(torch.float32)

    def cast(chunk):
        def embed():
            with torch.autocast("cpu", torch.bfloat16):
                return chunk()

        return embed

    chunks = [cast(chunk) for chunk in ours.chunks([5, 7])]
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16, enabled=around == "everything"):
        terms = cached_backward(chunks, ours.loss)
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        expected = plain(theirs, [5, 7])
    assert terms == pytest.approx(expected, abs=1e-6)
    for name, slope in theirs.gradients().items():
        assert slope.any()  # sums of bf16 in another order: some hundredths of the largest
        torch.testing.assert_close(ours.gradients()[name], slope, atol=0.03 * float(slope.abs().max()), rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_dropout_drops_the_same_on_a_gpu():
    ours = Task()
    for name, x in ours.inputs.items():
        ours.inputs[name] = x.cuda()
    ours.towers.cuda()
    ours.rows = Rows(**{name: x.cuda() for name, x in vars(ours.rows).items()})
    ours.scale.data, ours.bias.data = ours.scale.cuda(), ours.bias.cuda()
    theirs = copy.deepcopy(ours)
    torch.manual_seed(1)
    cached_backward(ours.chunks([5, 7]), ours.loss)
    torch.manual_seed(1)
    plain(theirs, [5, 7])
    assert_same(ours.gradients(), theirs.gradients(), 1e-12)


def one_of_two(rank, folder):
    for held in (False, True):
        task = Task(dropout=0)
        half = slice(6 * rank, 6 * rank + 6)
        task.inputs = {name: x[half] for name, x in task.inputs.items()}
        if held:
            task.towers.scale, task.towers.bias = task.scale, task.bias
        towers = DistributedDataParallel(task.towers)
        for _ in range(2):  # a second step fails if the first left the reducer waiting
            task.towers.zero_grad()
            task.scale.grad = task.bias.grad = None
            cached_backward(task.chunks([2, 2, 2], towers), task.loss, towers.no_sync)
        torch.save(task.gradients(), folder / f"{rank}-{held}.pt")


def test_two_processes_in_chunks_have_the_gradients_of_one_in_one_wherever_the_scale_lives(tmp_path):
    two(one_of_two, tmp_path, folder=tmp_path)
    task = Task(dropout=0)
    cached_backward(task.chunks([12]), task.loss)
    for rank in range(2):
        for held in (False, True):
            assert_same(torch.load(tmp_path / f"{rank}-{held}.pt"), task.gradients(), 1e-12)
