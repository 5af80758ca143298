"""Contrastive losses between the views of a record, where equal captions are not each other's negatives.

Every item has a group. Items of one group are positives of each other, all others are negatives, and an item of the
group -1 takes no part. All losses are computed in fp32, or in fp64 where the embeddings are, whatever autocast says.

Over several processes the embeddings are gathered first, so every rank computes the same loss of the whole batch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from fusionrs_builder.errors import UsageError

Kind = Literal["infonce", "siglip"]
"""Which loss a term is: `info_nce` or `sigmoid`."""


def info_nce(a: Tensor, b: Tensor, groups_a: Tensor, groups_b: Tensor, scale: Tensor) -> Tensor:
    """InfoNCE (van den Oord et al., 2018) both ways, as CLIP has it, with any number of positives.

    The mean of L(a, b) and L(b, a), where s_ij = scale * a_i . b_j, P_i are the items of b of the group of a_i, and R
    the items of a that have any:

        L(a, b) = - 1/|R| sum_{i in R} 1/|P_i| sum_{p in P_i} log( exp s_ip / sum_j exp s_ij )

    It is the cross entropy with a target that is uniform over the positives. An item without a positive is not in R,
    but stays a negative of the others. With one positive each this is the loss of CLIP.

    Args:
        a: float [N, d], of length 1; items of the group -1 may hold anything.
        b: float [M, d], likewise.
        groups_a: int64 [N]; -1: takes no part.
        groups_b: int64 [M], numbered as those of a are.
        scale: what cosines are multiplied by, a scalar above 0 (not its logarithm).

    Returns:
        A scalar of at least 0; 0, without a slope, where no item has a positive.
    """
    a, b, groups_a, groups_b = _taking_part(a, b, groups_a, groups_b)
    with torch.autocast(a.device.type, enabled=False):  # it would multiply in bf16
        logits = scale * a @ b.T
        positive = (groups_a[:, None] == groups_b).to(logits.dtype)
        return (_cross_entropy(logits, positive) + _cross_entropy(logits.T, positive.T)) / 2


def _cross_entropy(logits: Tensor, positive: Tensor) -> Tensor:
    """Of each row that has a positive, on the mean: [N, M], and 1 or 0 of the same shape -> a scalar."""
    counts = positive.sum(1, keepdim=True)
    total = F.cross_entropy(logits, positive / counts.clamp(min=1), reduction="sum")
    return total / (counts > 0).sum().clamp(min=1)


def sigmoid(a: Tensor, b: Tensor, groups_a: Tensor, groups_b: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    """The loss of SigLIP (Zhai et al., ICCV 2023, eq. 2): each pair is judged on its own.

        L = - 1/N sum_i sum_j log sigmoid( z_ij (scale * a_i . b_j + bias) )

    z_ij is 1 where the groups are equal and else -1; N are the items of a that take part. Items without a positive
    count here too: all their pairs are negatives.

    Args:
        a: float [N, d], of length 1; items of the group -1 may hold anything.
        b: float [M, d], likewise.
        groups_a: int64 [N]; -1: takes no part.
        groups_b: int64 [M], numbered as those of a are.
        scale: what cosines are multiplied by, a scalar above 0 (not its logarithm).
        bias: what is added to them then, a scalar.

    Returns:
        A scalar of at least 0; 0, without a slope, where either side has no item.
    """
    a, b, groups_a, groups_b = _taking_part(a, b, groups_a, groups_b)
    with torch.autocast(a.device.type, enabled=False):
        logits = scale * a @ b.T + bias
        labels = 2 * (groups_a[:, None] == groups_b).to(logits.dtype) - 1
        return -F.logsigmoid(labels * logits).sum() / max(len(a), 1)


def _taking_part(a: Tensor, b: Tensor, groups_a: Tensor, groups_b: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Both sides and their groups without the items of the group -1, in fp32 at least."""
    in_a, in_b = groups_a >= 0, groups_b >= 0
    return _wide(a[in_a]), _wide(b[in_b]), groups_a[in_a], groups_b[in_b]


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


@dataclass(frozen=True)
class Terms:
    """The weight of each term of `trimodal`; 0 leaves it out, and what it alone needs with it.

    Attributes:
        rgb_text: RGB image and scene caption.
        ir_text: infrared image and its caption.
        rgb_ir: RGB and infrared image of one record.
        fused_text: the normalised sum of both images, and the scene caption.

    Raises:
        UsageError: a weight is below 0 or not finite, or all are 0.
    """

    rgb_text: float = 1.0
    ir_text: float = 1.0
    rgb_ir: float = 1.0
    fused_text: float = 0.0

    @property
    def needed(self) -> frozenset[str]:
        """What the terms with a weight are computed from: names of embeddings, see `trimodal`."""
        sides = {"rgb_text": ("rgb", "scene"), "ir_text": ("infrared", "infrared_text"), "rgb_ir": ("rgb", "infrared"),
                 "fused_text": ("rgb", "infrared", "scene")}  # fmt: skip
        return frozenset(side for name, weight in asdict(self).items() if weight for side in sides[name])

    def __post_init__(self) -> None:
        for name, weight in asdict(self).items():
            if not 0 <= weight < float("inf"):
                raise UsageError(f"the weight of the term {name} is {weight}: it must be 0 or above, and finite")
        if not any(asdict(self).values()):
            raise UsageError(f"all terms have the weight 0: give one of {', '.join(asdict(self))} a weight above 0")


@dataclass(frozen=True)
class Rows:
    """Who is who in a batch of N records.

    Attributes:
        record: int64 [N], the number of the record in its split, the same on all ranks.
        scene: int64 [N], the group of the scene caption: equal normalised captions have one; -1: no caption.
        infrared_text: int64 [N], likewise of the caption of the infrared view.
        has_rgb: bool [N]; the RGB embeddings of other rows may hold anything.
        has_infrared: bool [N], likewise.
    """

    record: Tensor
    scene: Tensor
    infrared_text: Tensor
    has_rgb: Tensor
    has_infrared: Tensor

    def gathered(self) -> "Rows":
        """Those of all ranks, in the order in which `gathered` puts embeddings."""
        return Rows(**{field.name: gathered(getattr(self, field.name)) for field in fields(self)})


def trimodal(
    embeddings: Mapping[str, Tensor], rows: Rows, terms: Terms, kind: Kind, scale: Tensor, bias: Tensor | None = None
) -> dict[str, Tensor]:
    """The terms between RGB, infrared and text; their sum is the loss.

    The loss is the mean of the terms by their weights, as the paper's is the mean of its three: a term's entry is its
    loss times its weight, divided by the sum of the weights of all entries. A term in which no row takes part has no
    entry, and then the others make up the mean.

    What is positive depends on the term. With text it is every row of the same caption, though its image be another's.
    Between RGB and infrared it is the view of the same record and no other: images of two records are negatives even
    where their captions are equal, and a record that stands twice in a batch, under whatever captions, is its own
    positive.

    Args:
        embeddings: float [N, d] each, of length 1: `rgb`, `infrared`, `scene`, `infrared_text`; of these, what the
            terms with a weight need.
        rows: of the same N records.
        terms: the weights.
        kind: the loss of each term.
        scale: see `info_nce`.
        bias: see `sigmoid`; `infonce` has none.

    Returns:
        Scalars by name of the term; empty where no term has a row.

    Raises:
        UsageError: the kind is `siglip` and there is no bias.
    """
    both = rows.has_rgb & rows.has_infrared
    sides: dict[str, tuple[tuple[str, ...], str, Tensor, Tensor]] = {
        "rgb_text": (("rgb",), "scene", rows.scene, rows.has_rgb),
        "ir_text": (("infrared",), "infrared_text", rows.infrared_text, rows.has_infrared),
        "rgb_ir": (("rgb",), "infrared", rows.record, both),
        "fused_text": (("rgb", "infrared"), "scene", rows.scene, both),
    }
    losses: dict[str, Tensor] = {}
    weights = {name: weight for name, weight in asdict(terms).items() if weight}
    for name in weights:
        images, other, groups, present = sides[name]
        here = present & (groups >= 0)
        if not here.any():
            continue
        views = [_wide(embeddings[image][here]) for image in images]
        a = views[0] if len(views) == 1 else F.normalize(torch.stack(views).sum(0), dim=1)
        b, groups = embeddings[other][here], groups[here]
        losses[name] = _contrast(a, b, groups, kind, scale, bias)
    total = sum(weights[name] for name in losses)
    return {name: loss * (weights[name] / total) for name, loss in losses.items()}


def _contrast(a: Tensor, b: Tensor, groups: Tensor, kind: Kind, scale: Tensor, bias: Tensor | None) -> Tensor:
    """The loss between partners: item i of either side is of the group i."""
    if kind == "infonce":
        return info_nce(a, b, groups, groups, scale)
    if bias is None:
        raise UsageError("the loss siglip needs a bias: start from a model that has one, or take infonce")
    return sigmoid(a, b, groups, groups, scale, bias)


def gathered(x: Tensor) -> Tensor:
    """The rows of all ranks, rank after rank; x itself where there is one process.

    The slope is right where every rank computes the same loss from what is gathered and the gradients of the parameters
    are then averaged over the ranks, as `DistributedDataParallel` does: a rank takes the slope of its own rows, which
    it knows without asking the others, times the number of ranks. A parameter that the loss reads directly, such as its
    scale, has the same gradient on every rank, and averaging leaves it as it is.

    Args:
        x: [n, ...] of any type, the same shape on every rank.

    Returns:
        [ranks * n, ...]
    """
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return x
    everyone: Tensor = _Gathered.apply(x)
    return everyone


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, slope: Tensor) -> Tensor:
        return slope.narrow(0, dist.get_rank() * ctx.rows, ctx.rows) * dist.get_world_size()
