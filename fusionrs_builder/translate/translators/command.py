"""Any program that draws the images of one folder into another, named by a TOML file:

    name = "diffv2ir"
    band = "lwir"
    command = "python infer.py --in {input} --out {output}"
    timeout_s = 600

It is run in the folder of that file, once a batch (--batch-size), on 00000.png, 00001.png, ... in {input}, all of one
size; it writes images of the same names (any ending) and size to {output}. {device} is the torch device to use.
"""

import logging
import os
import shlex
import signal
import subprocess
import tempfile
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.protocol import (
    Array,
    ArrayTranslator,
    Identity,
    Precision,
    name_and_band,
    one_channel,
    sha256_of,
)

SUFFIX = ".toml"

TIMEOUT_S = 600.0
"""For one batch, where the file says nothing else."""

TAIL_LINES = 12
"""Of what a failing program said, shown in the error."""

KEYS = {"name", "band", "command", "timeout_s"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Program:
    """A command whose configuration is sound.

    Attributes:
        file: that names it; the command runs in its folder.
        identity: over the file, and every file its command names.
        name: of the translator.
        words: of the command, with `{input}`, `{output}` and `{device}` in them.
        timeout_s: for one batch.
    """

    file: Path
    identity: Identity
    name: str
    words: tuple[str, ...]
    timeout_s: float


def claims(spec: str, path: Path | None) -> bool:
    """A file that ends in `.toml`."""
    return path is not None and path.is_file() and path.suffix == SUFFIX


def describe(spec: str, path: Path | None, precision: Precision) -> tuple[Identity, Mapping[str, Any]]:
    """The sha256 is of the TOML file and of each file that a word of the command names (scripts, weights).

    What else decides the picture (folders, installed packages) is not seen: change a comment in the TOML file with it.
    """
    assert path is not None
    return _find(path).identity, {}


def load(spec: str, path: Path | None, device: str, precision: Precision) -> ArrayTranslator:
    """Nothing is started yet."""
    assert path is not None
    program = _find(path)
    return ArrayTranslator(program.name, program.identity, lambda rgb: run(program, rgb, device))


def _find(path: Path) -> Program:
    try:
        values = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise FusionError(f"{path} is not TOML: {error}") from None
    if unknown := sorted(values.keys() - KEYS):
        raise UsageError(f"{path}: unknown key {unknown[0]}: a command has {', '.join(sorted(KEYS))}")
    name, band = name_and_band(values, path, path.stem)
    command, timeout_s = values.get("command"), values.get("timeout_s", TIMEOUT_S)
    if not isinstance(command, str) or "{input}" not in command or "{output}" not in command:
        raise UsageError(
            f'{path}: command must be a text with {{input}} and {{output}} in it, such as "prog --in {{input}} '
            f'--out {{output}}", got {command!r}'
        )
    if isinstance(timeout_s, bool) or not isinstance(timeout_s, int | float) or timeout_s <= 0:
        raise UsageError(f"{path}: timeout_s must be a number of seconds above 0, got {timeout_s!r}")
    try:
        words = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"{path}: command {command!r}: {error}") from None
    named = [(word, path.parent / word) for word in words if (path.parent / word).is_file()]
    return Program(path, Identity.of(name, band, sha256_of([("", path), *named])), name, words, float(timeout_s))


def run(program: Program, rgb: Array, device: str) -> Array:
    """Draw a batch.

    Args:
        program: to run.
        rgb: uint8 [N, 3, H, W].
        device: given to the program where it asks for it.

    Returns:
        uint8 [N, H, W].

    Raises:
        FusionError: the program is not there, hangs, fails, or leaves out, resizes or colours an image.
    """
    with tempfile.TemporaryDirectory(prefix="fusionrs-") as folder:
        given, drawn = Path(folder) / "input", Path(folder) / "output"
        given.mkdir()
        drawn.mkdir()
        names = [f"{n:05d}" for n in range(len(rgb))]
        for name, image in zip(names, rgb, strict=True):
            (given / f"{name}.png").write_bytes(pixels.encode_png(np.ascontiguousarray(image.transpose(1, 2, 0))))
        values = {"{input}": str(given), "{output}": str(drawn), "{device}": device}
        words = [_filled(word, values) for word in program.words]
        said = Path(folder) / "said.txt"
        with said.open("wb") as sink:
            _finished(program, words, sink, said)
        found = {path.stem: path for path in sorted(drawn.iterdir()) if path.is_file()}
        if missing := [name for name in names if name not in found]:
            raise FusionError(
                f"{program.file}: the command wrote {len(names) - len(missing)} of {len(names)} images: "
                f"{missing[0]}.png was given and has no partner in {{output}}{_tail(said)}"
            )
        images = [_read(program, found[name], rgb.shape[2:]) for name in names]
    return np.stack(images) if images else np.empty((0, *rgb.shape[2:]), np.uint8)


def _filled(word: str, values: Mapping[str, str]) -> str:
    for name, value in values.items():
        word = word.replace(name, value)
    return word


def _finished(program: Program, words: list[str], sink: BinaryIO, said: Path) -> None:
    """Run to the end, in a session of its own: a program that hangs is killed with all it started."""
    try:
        process = subprocess.Popen(
            words, cwd=program.file.parent, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    except OSError as error:
        raise FusionError(f"{program.file}: could not start {words[0]}: {error.strerror}: correct `command`") from None
    try:
        code = process.wait(program.timeout_s)
    except subprocess.TimeoutExpired:
        raise FusionError(
            f"{program.file}: the command was not done after {program.timeout_s:g} s and was stopped: raise timeout_s, "
            f"or take a smaller --batch-size{_tail(said)}"
        ) from None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    if code:
        raise FusionError(f"{program.file}: the command failed with exit code {code}: {shlex.join(words)}{_tail(said)}")


def _tail(said: Path) -> str:
    lines = said.read_text(errors="replace").strip().splitlines()[-TAIL_LINES:]
    return "; it said:" + "".join(f"\n  {line}" for line in lines) if lines else ""


def _read(program: Program, path: Path, size: tuple[int, ...]) -> Array:
    """uint8 [H, W] of an image that the program wrote."""
    what = f"{program.file}: {path.name} as the command wrote it"
    try:
        image = pixels.decode(path.read_bytes())
    except ValueError as error:
        raise FusionError(f"{what}: {error}") from None
    if (image.height, image.width) != tuple(size):
        raise FusionError(
            f"{what} has {image.width} x {image.height} px, the image given {size[1]} x {size[0]}: let it keep the size"
        )
    if image.mode.startswith(("I", "F")):
        raise FusionError(f"{what} has more than 8 bits a channel ({image.mode}): let it write 8-bit images")
    grey = image.mode in ("L", "1")
    array = np.asarray(image.convert("L" if grey else "RGB"))
    return one_channel(array[None] if grey else array.transpose(2, 0, 1), what)
