"""What a training leaves to be read: curves of its losses, and the card of a CLIP."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fusionrs_builder.cards.models import ClipFacts, Data, Recipe, clip_card
from fusionrs_builder.files import Files
from fusionrs_builder.release.load import load_split

CURVES, CARD = "curves.png", "README.md"


def data_facts(data: str, ids: Sequence[str], origins: Iterable[str | None], licences: Iterable[str | None]) -> Data:
    """What a model learnt from, for its card.

    Args:
        data: release folder, or ORG/NAME on the Hub.
        ids: of the records of the train split, in its order.
        origins: of the infrared views that were learnt from.
        licences: of the records that were.
    """
    there = Path(data)
    return Data(
        name=there.resolve().name if there.exists() else data,
        repo_id="" if there.exists() else data,
        split_sha256=hashlib.sha256("".join(f"{id}\n" for id in ids).encode()).hexdigest(),
        origins=Counter(origin or "" for origin in origins),
        licences=Counter(licence or "" for licence in licences),
    )


def write_clip_card(
    folder: Path,
    data: str,
    architecture: str,
    towers: str,
    base: str,
    recipe: Recipe,
    limits: Sequence[str],
    saw_infrared: bool = True,
) -> None:
    """Write the card of a CLIP beside its weights.

    Args:
        folder: of the weights; the run that it lies in gives the name.
        data: see `data_facts`.
        architecture: of open_clip.
        towers: the encoder of infrared views: `shared`, `lora`, `separate`.
        base: tag or file of the weights that it began with; empty: none.
        recipe: of the training.
        limits: sentences of Markdown.
        saw_infrared: whether infrared views were learnt from, and no control or none at all.
    """
    rows = load_split(data, "train", config="text")
    text = clip_card(
        ClipFacts(
            name=folder.resolve().parent.name,
            license="not stated",
            base_model=base and f"{architecture} {base} of open_clip",
            data=data_facts(data, rows["id"], rows["ir_origin"] if saw_infrared else (), rows["license"]),
            recipe=recipe,
            architecture=architecture,
            two_towers=towers != "shared",
            limits=limits,
        )
    )
    Files(str(folder)).write_bytes(CARD, text.encode())


def draw_curves(log: Path, out: Path) -> None:
    """The terms of the loss and the validation scores over the steps, as a PNG.

    Args:
        log: lines of JSON: `step`, and `terms` or `validation`, by name.
        out: file.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.6))
    for axis, kind, title in zip(
        axes, ("terms", "validation"), ("loss, weighted terms", "Mean R, validation"), strict=True
    ):
        for name, points in _series(lines, kind).items():
            axis.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("step")
        if axis.lines:
            axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(out, dpi=120)
    plt.close(figure)


def _series(lines: Sequence[Mapping[str, Any]], kind: str) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for line in lines:
        for name, value in line.get(kind, {}).items():
            found.setdefault(name, []).append((line["step"], value))
    return found
