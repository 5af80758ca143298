"""The optimiser of a CLIP, and its learning rate from step to step."""

import math

import torch
from torch import nn

from train.recipe import Settings

BETAS, EPSILON = (0.9, 0.98), 1e-6
"""Those of CLIP with a vision transformer (Radford et al., 2021, table 18)."""


def adamw(network: nn.Module, settings: Settings) -> torch.optim.AdamW:
    """AdamW; norms, biases, the scale and the class embedding do not decay."""
    trained = [each for each in network.parameters() if each.requires_grad]
    matrices, bare = [each for each in trained if each.ndim >= 2], [each for each in trained if each.ndim < 2]
    groups = [{"params": matrices, "weight_decay": settings.weight_decay}, {"params": bare, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, betas=BETAS, eps=EPSILON, fused=True)


def learning_rate(step: int, settings: Settings) -> float:
    """Of a step, counted from 0: up in a line for `warmup` steps, then down to 0 along a cosine."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    share = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * share))
