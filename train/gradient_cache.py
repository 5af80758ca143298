"""Gradients of a contrastive loss over a batch that is larger than memory (Gao et al., 2021, arXiv 2101.06983).

How it works. The loss needs the embeddings of the whole batch, but not how they came about. So all chunks of the batch
are embedded without a graph; the loss over all embeddings gives its gradient to each of them; then each chunk is
embedded again, with a graph, and back-propagates its part of that gradient. Memory holds the graph of one chunk at a
time, and the price is a second forward pass. The random state is put back before the second pass of a chunk, so that
dropout drops the same.

What it cannot give: a network whose items see each other (batch normalisation) computes a chunk, not the batch.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

Chunk = Callable[[], Mapping[str, Tensor]]
"""Embeds some rows of a batch, [n, d] by name. It is called twice, and must depend on nothing that changes between but
the random state of torch; it takes autocast with it where it needs it."""


def cached_backward(
    chunks: Sequence[Chunk],
    loss: Callable[[Mapping[str, Tensor]], Mapping[str, Tensor]],
    unsynchronised: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> dict[str, float]:
    """Add the gradients of a loss over all chunks to `.grad`, as one backward pass over the whole batch would.

    Parameters that the loss itself reads, such as its scale, get theirs too. One chunk is an ordinary forward and
    backward pass.

    Under `DistributedDataParallel` all gradients but those of the chunks before the last come in one backward pass, as
    it demands: a network may hold the parameters of the loss too. With `train.loss.gathered` in the loss, the gradients
    are those of the whole batch of all ranks.

    Args:
        chunks: the batch; all give embeddings of the same names.
        loss: of all embeddings, each [N, d] in the order of the chunks; the sum of its terms is what is minimised. Of
            several chunks it is called twice, and must not depend on chance.
        unsynchronised: opens a context in which gradients are not averaged over ranks, `model.no_sync` of
            `DistributedDataParallel`; it is entered for all chunks but the last.

    Returns:
        The terms by name. Where there are none no gradient is touched.
    """
    if len(chunks) == 1:
        terms = loss(chunks[0]())
        if terms:
            _total(terms).backward()  # type: ignore[no-untyped-call]
        return _numbers(terms)

    states, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            states.append(_random_state())
            parts.append(chunk())
    whole = {name: torch.cat([part[name] for part in parts]) for name in parts[0]}
    leaves = {name: embedding.detach().requires_grad_() for name, embedding in whole.items()}
    terms = loss(leaves)
    if not terms:
        return {}
    found = torch.autograd.grad(_total(terms), list(leaves.values()), allow_unused=True)
    slopes = {
        name: torch.split(slope, [len(part[name]) for part in parts])
        for name, slope in zip(leaves, found, strict=True)
        if slope is not None  # else the loss does not use it
    }
    for i, chunk in enumerate(chunks):
        last = i == len(chunks) - 1
        with nullcontext() if last else unsynchronised():
            _set_random_state(states[i])
            again = chunk()
            trained = [name for name in slopes if again[name].requires_grad]
            roots, given = [again[name] for name in trained], [slopes[name][i] for name in trained]
            # DistributedDataParallel misses a gradient that comes before the forward pass of the last chunk. So those
            # of the loss's own parameters are found here, from embeddings that have no graph.
            if last and (own := _total(loss(whole))).requires_grad:
                roots, given = [*roots, own], [*given, torch.ones_like(own)]
            torch.autograd.backward(roots, given)
    return _numbers(terms)


def _total(terms: Mapping[str, Tensor]) -> Tensor:
    return torch.stack(list(terms.values())).sum()


def _numbers(terms: Mapping[str, Tensor]) -> dict[str, float]:
    return {name: float(term.detach()) for name, term in terms.items()}


def _random_state() -> list[Tensor]:
    """Of the CPU and, where one is in use, of the current CUDA device."""
    in_use = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    return [torch.get_rng_state(), *([torch.cuda.get_rng_state()] if in_use else [])]


def _set_random_state(state: list[Tensor]) -> None:
    torch.set_rng_state(state[0])
    for cuda in state[1:]:
        torch.cuda.set_rng_state(cuda)
