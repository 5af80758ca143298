"""`fusionrs-build`: lists the commands, and loads the module of the one that is called."""

import atexit
import contextlib
import importlib
import os
import sys
import threading
from typing import Any

import click

COMMANDS = {
    "init": ("build", "make a workspace"),
    "download": ("build", "corpora as published -> rgb/"),
    "translate": ("build", "the infrared view of each image -> ir/"),
    "caption": ("build", "scene and infrared captions -> captions/"),
    "curate": ("build", "groups and splits -> curation/"),
    "push": ("build", "the dataset that load_dataset opens -> release/"),
    "run": ("build", "every stage of fusionrs.toml, in order"),
    "status": ("build", "what stands, and what would run next"),
    "check": ("release", "whether a workspace or a release is what it says it is"),
    "rebuild": ("release", "fill in the pictures that a release may not hold"),
    "ledger": ("ledger", "the answers of language models that were paid for"),
    "corpora": ("corpora", "the corpora known to this package"),
    "translator": ("translator", "train, import and evaluate translators"),
    "benchmark": ("benchmark", "measure anybody's model on a release"),
    "demo": ("demo", "build a real dataset end to end"),
}
"""Name: module in this folder, and one line of help. Modules are not imported to show the list."""


class Commands(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        module: Any = importlib.import_module(f"fusionrs_builder.cli.{COMMANDS[name][0]}")
        command: click.Command = getattr(module, name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


EPILOG = """\b
Examples:
  fusionrs-build demo
  fusionrs-build download --from ~/EuroSAT --name eurosat --format class-folders --license MIT -w my-dataset
  fusionrs-build run -w my-dataset
"""


@click.group(cls=Commands, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="fusionrs-builder")
def main() -> None:
    """Turn remote-sensing corpora into an RGB-infrared-text dataset.

    Data flows download -> translate -> caption -> curate -> push; each command makes only what is missing.
    """


def run() -> None:
    """`fusionrs-build` as a process; it ends without Python's own finalisation.

    Threads of C++ that libraries keep may let go of a Python object just then. Such a thread is unwound where nothing
    may be thrown, and the process would abort ("terminate called without an active exception") after all was done.
    """
    code = 0
    try:
        main()
    except SystemExit as ended:
        if isinstance(ended.code, str):
            print(ended.code, file=sys.stderr)
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    threading._shutdown()  # type: ignore[attr-defined]  # threads that are no daemons end first, pools among them
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # whoever read it is gone
            stream.flush()
    os._exit(code)
