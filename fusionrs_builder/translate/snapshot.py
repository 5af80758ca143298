"""The whole state of a training on disk, so that a killed one goes on as if nothing had been."""

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.checkpoint import write_whole
from fusionrs_builder.translate.distributed import is_first

STATE = "state.pt"


def save(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state; the earlier one stands until this one is whole.

    Args:
        folder: of the run.
        key: of the recipe and the data it belongs to.
        state: tensors, numbers, texts, and lists and dicts of them.

    Raises:
        FusionError: the folder cannot be written.
    """
    sink = io.BytesIO()
    torch.save({"key": key, "state": state}, sink)
    try:
        write_whole(folder / STATE, sink.getvalue())
    except OSError as error:
        raise FusionError(f"could not write the state of the training to {folder}: {error}") from error


def load(folder: Path, key: str) -> dict[str, Any] | None:
    """The state, on the CPU, if there is one.

    Raises:
        UsageError: it belongs to another recipe or other data.
        FusionError: it is damaged.
    """
    for left in folder.glob(".tmp-*"):  # of a save that was killed
        if left.is_file() and is_first():
            left.unlink(missing_ok=True)
    path = folder / STATE
    if not path.is_file():
        return None
    try:
        # weights_only: tensors and plain values, no code.
        kept = torch.load(path, map_location="cpu", weights_only=True)
        key_of, state = kept["key"], dict(kept["state"])
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError, pickle.UnpicklingError):
        raise FusionError(f"{path} is damaged, or was not written here: delete it to begin anew") from None
    if key_of != key:
        raise UsageError(
            f"{folder} holds a training of another recipe or of other data: give the same options to go on with it, "
            "another --out, or delete that folder to begin anew"
        )
    return state


def append(path: Path, record: dict[str, Any]) -> None:
    """A line of JSON more."""
    with path.open("a") as sink:
        sink.write(json.dumps(record) + "\n")


def history(path: Path, until: int) -> list[dict[str, Any]]:
    """The lines up to a step; later ones, of a run that was killed, are dropped from the file too."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text().splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            break  # cut short by a kill
        if record["step"] <= until:
            lines.append(record)
    text = "".join(json.dumps(record) + "\n" for record in lines)
    if is_first() and text != path.read_text():
        write_whole(path, text.encode())
    return lines
