from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from fusionrs_builder.errors import UsageError
from train.settings import as_toml, differences, parse, read


@dataclass(frozen=True)
class Some:
    """Of a test.

    Attributes:
        data: what is read, 100 % of it
        steps: of the optimiser
        rate: the highest
        kind: of the loss
        augment: crops
    """

    data: str = ""
    steps: int = 10
    rate: float = 0.1
    kind: Literal["a", "b"] = "a"
    augment: bool = True


def given(*argv: str) -> Some:
    return parse(Some, "python -m some", "Does something.", argv)


def test_flags_go_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('steps = 3\nrate = 2\nkind = "b"\n')
    assert given("--config", str(file), "--steps", "5", "--no-augment") == Some("", 5, 2.0, "b", False)
    assert given() == Some()


def test_what_is_written_is_read(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(as_toml(Some("x", 7, 0.5, "b", False)))
    assert read(Some, tmp_path / "s.toml") == Some("x", 7, 0.5, "b", False)


def test_differences_are_named() -> None:
    assert differences(Some(steps=3, data="y"), Some(), ("data",)) == ["steps: 10 before, 3 now"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("stepps = 3", "unknown key stepps; known: data, steps"),
        ('steps = "3"', "steps is a int, not '3'"),
        ("steps = true", "steps is a int, not True"),
        ('kind = "c"', "kind is one of a, b, not 'c'"),
        ("steps = ", "cannot be read as settings"),
    ],
)
def test_a_wrong_file_is_told(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError, match=told):
        given("--config", str(tmp_path / "s.toml"))


def test_the_help_has_a_line_a_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        given("--help")
    shown = " ".join(capsys.readouterr().out.split())
    assert "what is read, 100 % of it [default: '']" in shown and "the highest [default: 0.1]" in shown
