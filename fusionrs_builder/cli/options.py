"""Options shared by commands, and options made from the settings models: a key of fusionrs.toml is a flag."""

import functools
import json
import sys
import traceback
from collections.abc import Callable
from typing import Any, Literal, get_args, get_origin

import click

from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import Section

Function = Callable[..., Any]

Decorator = Callable[[Function], Function]

INTERRUPTED = 130


def settings(model: type[Section], *left_out: str) -> Callable[[Function], Function]:
    """One option for every key of a settings model. One not given stays None: the file or the default rules."""

    def decorate(function: Function) -> Function:
        for name, field in reversed(model.model_fields.items()):
            if name in left_out:
                continue
            flag = "--" + name.replace("_", "-")
            kind = _kind(field.annotation)
            default = field.get_default(call_default_factory=True)
            shown = "" if default in (None, "", (), {}) else f"  [default: {_text(default)}]"
            text = (field.description or "") + shown
            if kind is bool:
                function = click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)(function)
            else:
                function = click.option(flag, name, type=kind, default=None, help=text)(function)
        return function

    return decorate


def _kind(annotation: Any) -> Any:
    """Click's type of an annotation; lists and tables are given as text and split by the model."""
    parts = [part for part in get_args(annotation) if part is not type(None)]
    if get_origin(annotation) is Literal:
        return click.Choice(parts)
    if annotation in (bool, int, float, str):
        return annotation
    if len(parts) == 1 and get_origin(annotation) is not tuple:
        return _kind(parts[0])
    return str


def _text(default: Any) -> str:
    return ",".join(str(part) for part in default) if isinstance(default, tuple) else str(default)


def common(function: Function) -> Function:
    """-w, --json, -v."""
    workspace = click.option(
        "-w", "--workspace", "where", default=".", show_default=True, help="workspace folder or URL"
    )
    decorated: Function = workspace(guarded(function))
    return decorated


def guarded(function: Function) -> Function:
    """--json, -v; turns errors into a message and an exit code."""

    @click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout, everything else on stderr")
    @click.option("-v", "--verbose", is_flag=True, help="show the traceback of an error")
    @functools.wraps(function)
    def wrapped(*, verbose: bool, **arguments: Any) -> None:
        try:
            function(**arguments)
        except (click.exceptions.Exit, click.ClickException, click.exceptions.Abort):
            raise
        except KeyboardInterrupt:
            _say("stopped; run the same command again to go on where it was")
            sys.exit(INTERRUPTED)
        except FusionError as error:
            if verbose:
                traceback.print_exc()
            for line in str(error).split("\n"):
                _say(f"error: {line}")
            sys.exit(error.exit_code)
        except Exception as error:
            if verbose:
                traceback.print_exc()
            _say(f"error: {type(error).__name__}: {error}")
            if not verbose:
                _say("this should not happen: run again with -v and report what it shows")
            sys.exit(1)

    return wrapped


def running(function: Function) -> Function:
    """--workers, --device, --limit, --dry-run, --engine, handed over as one `run`."""
    from fusionrs_builder.engines.runner import Run

    @click.option(
        "--workers", type=click.IntRange(1, 512), help="processes  [default: one a core; for a network, one a device]"
    )
    @click.option(
        "--device", default="auto", show_default=True, help="of the network: auto (every GPU), cpu, cuda:0,cuda:1"
    )
    @click.option(
        "--limit",
        type=click.IntRange(1),
        help="for a trial: the first N items of each corpus, or the shards that hold the next N",
    )
    @click.option("--dry-run", is_flag=True, help="say what would be done, and do nothing")
    @click.option(
        "--engine", type=click.Choice(["local", "ray"]), default="local", help="this machine, or a Ray cluster"
    )
    @functools.wraps(function)
    def wrapped(
        *, workers: int | None, device: str, limit: int | None, dry_run: bool, engine: Any, **arguments: Any
    ) -> None:
        function(run=Run(workers, device, limit, dry_run, engine), **arguments)

    return wrapped


def show(result: Any, as_json: bool, lines: Callable[[], str]) -> None:
    """Data to stdout: JSON, or the text of `lines`."""
    click.echo(json.dumps(result, ensure_ascii=False) if as_json else lines())


def _say(text: str) -> None:
    click.echo(text, err=True)
