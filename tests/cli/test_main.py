"""The command line as a user meets it: in processes of its own."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fusionrs_builder.cli.main import COMMANDS, main

COMMAND = str(Path(sys.executable).parent / "fusionrs-build")


def invoke(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == code, done.output
    return done.output


def leaves(group: click.Group, *names: str) -> list[tuple[str, ...]]:
    found = []
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        found += leaves(command, *names, name) if isinstance(command, click.Group) else [(*names, name)]
    return found


@pytest.mark.parametrize("path", leaves(main), ids=" ".join)
def test_every_help_ends_with_examples_that_parse(path: tuple[str, ...]) -> None:
    shown = invoke(*path, "--help")
    examples = re.findall(r"^ +fusionrs-build (.+)$", shown.split("Examples:")[1], re.MULTILINE)
    assert examples
    for example in examples:
        arguments = example.split()
        command: click.Command = main
        context = click.Context(main)
        while isinstance(command, click.Group):
            named = command.get_command(context, arguments.pop(0))
            assert named is not None, example
            command = named
        command.make_context(example, [argument.strip("'") for argument in arguments])  # raises on a wrong option


def test_help_lists_every_command_without_importing_them() -> None:
    code = f"import sys, fusionrs_builder.cli.main as m; print([n for n in {list(COMMANDS)} if n])\n" + (
        "from click.testing import CliRunner; print(CliRunner().invoke(m.main, ['--help']).output);"
        "print('HEAVY', [n for n in ('numpy', 'pyarrow', 'torch', 'pydantic', 'datasets') if n in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert "HEAVY []" in shown
    assert all(f"  {name}" in shown for name in COMMANDS)


def test_help_is_quick() -> None:
    subprocess.run([COMMAND, "--help"], check=True, capture_output=True)
    fastest = min(_seconds("--help") for _ in range(5))
    assert fastest < 0.4


def _seconds(*arguments: str) -> float:
    started = time.perf_counter()
    subprocess.run([COMMAND, *arguments], check=True, capture_output=True)
    return time.perf_counter() - started


def test_init_then_status(tmp_path: Path) -> None:
    folder = str(tmp_path / "ds")
    assert "fusionrs-build download --from PATH" in invoke("init", folder)
    assert (tmp_path / "ds/fusionrs.toml").read_text().startswith("# What to build")
    assert "was there already" in invoke("init", folder)
    assert "next: fusionrs-build download" in invoke("status", "-w", folder)
    assert "no corpus yet" in invoke("download", "-w", folder, code=2)


def test_a_build_with_json_on_stdout_alone(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    ws = ["-w", str(tmp_path / "ds"), "--json", "--workers", "1"]
    source = ["--from", str(class_folders(6)), "--name", "a", "--format", "class-folders", "--license", "MIT"]
    for command in (["download", *source], ["translate", "--translator", "gray"], ["caption"], ["curate"], ["push"]):
        done = subprocess.run([COMMAND, *command, *ws], check=True, capture_output=True, text=True)
        summary = json.loads(done.stdout)
        assert (summary["command"], summary["good"], summary["items"]) == (command[0], 6, 6)
    status = json.loads(invoke("status", "-w", str(tmp_path / "ds"), "--json"))
    assert status["next"] is None
    stages = json.loads(invoke("run", *ws))["stages"]
    assert [(stage["made"], stage["kept"]) for stage in stages[:4]] == [(0, 1)] * 4


def test_errors_say_the_fix_without_a_traceback(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    shown = invoke("translate", "-w", str(tmp_path / "none"), code=2)
    assert shown.startswith("error: no workspace at")
    (tmp_path / "fusionrs.toml").write_text("[translate]\ntranslater = 'gray'\n")
    shown = invoke("status", "-w", str(tmp_path), code=2)
    assert "did you mean `translator`?" in shown
    assert "Traceback" not in shown
    assert "Traceback" in invoke("status", "-v", "-w", str(tmp_path), code=2)
    assert invoke("corpora", "show", "nobody", code=2).startswith("error: unknown corpus nobody")
    invoke("download", "--tile", "x", code=2)


def test_too_many_refused_is_exit_1_and_still_a_summary(tmp_path: Path, class_folders: Callable[..., Path]) -> None:
    root = class_folders(3)
    (root / "River/bad.jpg").write_bytes(b"x")
    source = ["--from", str(root), "--name", "a", "--format", "class-folders", "--license", "MIT"]
    shown = invoke("download", *source, "-w", str(tmp_path / "ds"), "--workers", "1", code=1)
    assert "4 items = 3 good + 1 refused  (unreadable_image 1)" in shown
    assert "error: corpus a: 1 of 4 items refused" in shown


def test_the_registry_is_shown() -> None:
    assert "hit-uav" in invoke("corpora", "list")
    assert json.loads(invoke("corpora", "show", "hit-uav", "--json"))["settings"]["format"] == "voc"


def test_a_stop_by_the_user_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fusionrs_builder.pipeline.status", stop)
    shown = invoke("status", "-w", str(tmp_path), code=130)
    assert "run the same command again" in shown


def test_what_should_not_happen_asks_for_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr("fusionrs_builder.pipeline.status", fail)
    shown = invoke("status", "-w", str(tmp_path), code=1)
    assert "error: ZeroDivisionError: by zero" in shown
    assert "run again with -v" in shown


def test_no_help_page_shows_what_only_a_program_understands() -> None:
    page = CliRunner().invoke(main, ["download", "--help"]).output
    assert "Undefined" not in page
    assert "[default: nir,lwir,swir,mwir]" in " ".join(page.split())
