"""The weights that a training keeps: the last ones, or their mean over steps; mixed with those that it began with."""

from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

Weights = dict[str, Tensor]


class Kept:
    """What is kept of a network that is being trained.

    Args:
        network: as it begins.
        ema: share of the mean that stays at a step; 0: the last weights are kept.
        start_share: of the first weights in those that are kept.
    """

    def __init__(self, network: nn.Module, ema: float, start_share: float) -> None:
        self._network, self._ema, self._start_share = network, ema, start_share
        self._mean = copied(network) if ema else {}
        self._start = copied(network) if start_share else {}

    def update(self, step: int) -> None:
        """Take in the weights after a step, counted from 1.

        A mean of few steps is over fewer, of 9 + step at most: it begins with weights drawn by chance.
        """
        share = min(self._ema, step / (9 + step))
        with torch.no_grad():
            for name, tensor in self._network.state_dict().items() if self._mean else ():
                if tensor.is_floating_point():
                    self._mean[name].lerp_(tensor, 1 - share)

    def weights(self) -> Weights:
        """Those that are kept."""
        found = self._mean or self._network.state_dict()
        if not self._start:
            return dict(found)
        return {
            name: torch.lerp(each, self._start[name], self._start_share) if each.is_floating_point() else each
            for name, each in found.items()
        }

    def state(self) -> dict[str, Weights]:
        """For a run that goes on."""
        return {"mean": self._mean, "start": self._start}

    def load(self, state: dict[str, Weights]) -> None:
        """Of a run that goes on."""
        for name, held in self.state().items():
            held.update({key: each.to(held[key].device) for key, each in state[name].items()})


class Swapped:
    """A network with other weights and in evaluation, for as long as it is open."""

    def __init__(self, network: nn.Module, weights: Weights) -> None:
        self._network, self._weights, self._own = network, weights, copied(network)

    def __enter__(self) -> None:
        self._network.load_state_dict(self._weights)
        self._network.eval()

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._network.load_state_dict(self._own)
        self._network.train()


def copied(network: nn.Module) -> Any:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
