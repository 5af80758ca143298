import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.translator import load_translator, translator_identity
from tests.translate.conftest import scene

SCRIPT = """
import os, sys, time
from pathlib import Path
from PIL import Image

given, drawn, how = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
for n, path in enumerate(sorted(given.iterdir())):
    image = Image.open(path)
    gray = image.convert("L")
    if how == "fewer" and n == 2:
        continue
    if how == "fails" and n == 1:
        print("on stdout")
        sys.exit("CUDA out of luck")
    if how == "hangs":
        child = os.fork()
        Path("pids").write_text(f"{os.getpid()} {child}")
        print("loading weights", flush=True)
        time.sleep(60)
    if how == "colour":
        gray = image
    if how == "equal":
        gray = gray.convert("RGB")
    if how == "smaller":
        gray = gray.resize((8, 8))
    if how == "deep":
        gray = gray.convert("I;16")
    if how == "damaged":
        (drawn / path.name).write_bytes(b"no image")
        continue
    gray.save(drawn / (path.stem + (".bmp" if how == "bmp" else ".png")))
"""


def images(n=3, height=20, width=30):
    return np.stack([scene(height, width, seed).transpose(2, 0, 1) for seed in range(n)])


@pytest.fixture
def program(tmp_path):
    """Make a command that does as it is told."""
    (tmp_path / "draw gray.py").write_text(SCRIPT)

    def make(how="", command="{python} 'draw gray.py' {input} {output} '{how}'", **more):
        path = tmp_path / "gray.toml"
        command = command and command.replace("{python}", sys.executable).replace("{how}", how)
        lines = {"name": "outside", "band": "lwir", "command": command, **more}
        path.write_text("".join(f"{k} = {v!r}\n" for k, v in lines.items() if v is not None))
        return str(path)

    return make


@pytest.mark.parametrize("how", ["", "equal", "bmp"])
def test_what_the_program_draws_is_read_back_by_name(program, how):
    drawer = load_translator(program(how))
    assert (drawer.name, drawer.band) == ("outside", "lwir")
    rgb = images()
    assert (drawer.translate(rgb) == load_translator("gray").translate(rgb)).all()
    assert drawer.translate(rgb[:0]).shape == (0, 1, 20, 30)


def test_the_identity_changes_with_the_files_that_are_named(program, tmp_path):
    spec = program()
    first = translator_identity(spec)
    assert first.source == f"outside@{first.sha256[:12]}"
    assert first == translator_identity(spec)
    (tmp_path / "unnamed.py").write_text("")
    assert translator_identity(spec) == first
    (tmp_path / "draw gray.py").write_text(SCRIPT + "# changed\n")
    second = translator_identity(spec)
    assert second != first
    program(timeout_s=60)
    assert translator_identity(spec) != second


def test_the_device_is_told_and_the_folder_is_the_files(program, tmp_path):
    (tmp_path / "draw gray.py").write_text("import sys; sys.exit(' '.join(sys.argv[1:]))")
    drawer = load_translator(program(command="{python} 'draw gray.py' {input} {output} --on={device}"), device="cuda:1")
    with pytest.raises(FusionError, match="--on=cuda:1"):
        drawer.translate(images())


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("fails", r"gray.toml: the command failed with exit code 1: .*; it said:\n  on stdout\n  CUDA out of luck$"),
        ("fewer", r"wrote 2 of 3 images: 00002.png was given and has no partner in \{output\}$"),
        ("colour", r"00000.png as the command wrote it has three channels that differ by up to \d+ of 255"),
        ("smaller", "has 8 x 8 px, the image given 30 x 20: let it keep the size"),
        ("deep", r"more than 8 bits a channel \(I;16\)"),
        ("damaged", "00000.png as the command wrote it: not an image of a known format"),
    ],
)
def test_a_program_that_does_not_do_its_work(program, how, words):
    with pytest.raises(FusionError, match=f"(?s){words}"):
        load_translator(program(how)).translate(images())


def test_a_program_that_hangs_is_stopped_with_its_children(program, tmp_path):
    started = time.monotonic()
    with pytest.raises(FusionError, match=r"not done after 2 s and was stopped: raise timeout_s.*\n  loading weights"):
        load_translator(program("hangs", timeout_s=2)).translate(images())
    assert time.monotonic() - started < 20
    for pid in (tmp_path / "pids").read_text().split():
        for _ in range(50):  # a child is reaped by init, soon
            try:
                state = Path(f"/proc/{pid}/stat").read_text().split()[2]
            except FileNotFoundError:
                break
            if state == "Z":
                break
            time.sleep(0.1)
        else:
            os.kill(int(pid), 9)
            pytest.fail(f"process {pid} still runs")


def test_a_program_that_is_not_there(program):
    with pytest.raises(FusionError, match="could not start no-such-program: No such file or directory: correct"):
        load_translator(program(command="no-such-program {input} {output}")).translate(images())


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"band": None}, FusionError, r"band.*one of nir, swir, mwir, lwir \(got None\)"),
        ({"command": "draw {input}"}, UsageError, r"command must be a text with \{input\} and \{output\}"),
        ({"command": None}, UsageError, "got None"),
        ({"command": "draw {input} {output} 'x"}, UsageError, "No closing quotation"),
        ({"timeout_s": 0}, UsageError, "timeout_s must be a number of seconds above 0, got 0"),
        ({"timeout": 5}, UsageError, "unknown key timeout: a command has band, command, name, timeout_s"),
    ],
)
def test_a_wrong_file_is_known_before_any_work(program, change, error, words):
    with pytest.raises(error, match=words):
        translator_identity(program(**change))


def test_what_is_not_toml(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text("name = ")
    with pytest.raises(FusionError, match="is not TOML"):
        translator_identity(str(path))
