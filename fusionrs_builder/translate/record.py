"""What a training leaves to look at: losses and scores as lines of JSON, as curves and in TensorBoard, and pictures."""

import logging
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from fusionrs_builder.translate import snapshot
from fusionrs_builder.translate.training_data import TrainingData
from fusionrs_builder.translate.validation import Draw, drawn_middle, middle

HISTORY, CURVES = "history.jsonl", "curves.png"

SHOWN = 4
"""Rows of a sheet of samples."""

EVERY = 10
"""Steps whose losses are averaged to a line of the history."""

log = logging.getLogger(__name__)


class Record:
    """The notes of one training.

    Args:
        folder: of the run.
        until: step from which it goes on; later lines, of a run that was killed, are dropped.
        keep: whether this process writes at all.
    """

    def __init__(self, folder: Path, until: int, keep: bool) -> None:
        self._folder, self._keep = folder, keep
        self._sums: dict[str, list[float]] = defaultdict(list)
        self._board: Any = None
        self._lines = snapshot.history(folder / HISTORY, until) if keep else []
        if keep:
            self._board = _tensorboard(folder, until)

    def losses(self, step: int, losses: dict[str, float]) -> None:
        """Note the losses of a step."""
        if not self._keep:
            return
        for name, value in losses.items():
            self._sums[name].append(value)
        if step % EVERY == 0:
            self._flush(step)

    def _flush(self, step: int) -> None:
        if self._sums:
            means = {name: round(float(np.mean(values)), 6) for name, values in self._sums.items()}
            self._note({"step": step, "losses": means}, "losses", means, step)
            self._sums.clear()

    def validation(self, step: int, scores: dict[str, float] | None, draw: Draw, data: TrainingData) -> None:
        """Note the scores, and draw the curves and a sheet of samples anew."""
        self._flush(step)  # a run that goes on from here has no sums
        if scores is not None:
            self._note({"step": step, "validation": scores}, "validation", scores, step)
        sheet(draw, data).save(self._folder / f"samples-{step:06d}.png")
        curves(self._lines, self._folder / CURVES)

    def _note(self, line: dict[str, Any], group: str, values: dict[str, float], step: int) -> None:
        self._lines.append(line)
        snapshot.append(self._folder / HISTORY, line)
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(f"{group}/{name}", value, step)

    def close(self) -> None:
        if self._board:
            self._board.close()


def sheet(draw: Draw, data: TrainingData) -> Image.Image:
    """Rows of an RGB image, what is drawn of it and, of pairs, what was measured.

    Args:
        draw: the generator.
        data: images kept for validation are shown, or, where there are none, some that are learnt from.
    """
    entries = data.checks["pairs"] or data.pairs.all() or data.checks["visible"] or data.visible.all()
    rows = []
    for number in np.linspace(0, len(entries) - 1, SHOWN).astype(int):
        entry = entries[number]
        assert entry.rgb is not None
        rgb = data.store.visible(entry.rgb, entry.key)
        views = [middle(rgb), _colour(drawn_middle(draw, rgb))]
        if entry.ir is not None:
            views.append(_colour(middle(data.store.infrared(entry.ir, entry.key))))
        rows.append(views)
    width = max(sum(view.shape[1] for view in row) for row in rows)
    height = sum(max(view.shape[0] for view in row) for row in rows)
    page, y = Image.new("RGB", (width, height), "white"), 0
    for row in rows:
        x = 0
        for view in row:
            page.paste(Image.fromarray(view), (x, y))
            x += view.shape[1]
        y += max(view.shape[0] for view in row)
    return page


def _colour(view: Any) -> Any:
    return np.repeat(view[..., None], 3, axis=-1)


def curves(lines: list[dict[str, Any]], path: Path) -> None:
    """Losses and validation scores over steps, as a picture; without matplotlib there is none."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        log.warning(
            "no curves without matplotlib: pip install 'fusionrs-builder[train]'; the numbers are in %s", HISTORY
        )
        return
    series: dict[str, dict[str, list[tuple[int, float]]]] = {
        "losses": defaultdict(list),
        "validation": defaultdict(list),
    }
    for line in lines:
        for group, found in series.items():
            for name, value in line.get(group, {}).items():
                found[name].append((line["step"], value))
    figure = Figure(figsize=(9, 6), layout="constrained")
    for axes, (group, found) in zip(figure.subplots(2, 1, sharex=True), series.items(), strict=True):
        for name, points in found.items():
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.set_ylabel(group)
        if found:
            axes.legend(fontsize="small", ncols=2)
    axes.set_xlabel("step")
    figure.savefig(path, dpi=100)


def _tensorboard(folder: Path, until: int) -> Any:
    """A writer of TensorBoard events, where it is installed; events after `until` are replaced."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder / "tensorboard"), purge_step=until + 1)
