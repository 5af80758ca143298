"""corpora list | show: what the registry knows."""

import click

from fusionrs_builder.cli import options
from fusionrs_builder.corpora import registry
from fusionrs_builder.errors import UsageError


@click.group(epilog="\b\nExamples:\n  fusionrs-build corpora list")
def corpora() -> None:
    """The corpora known to this package."""


@corpora.command("list", epilog="\b\nExamples:\n  fusionrs-build corpora list\n  fusionrs-build corpora list --json")
@options.guarded
def list_(as_json: bool) -> None:
    """List the registry."""
    entries = {name: registry.entry(name) for name in registry.names()}
    known = {name: entry.model_dump(mode="json", exclude_unset=True) for name, entry in entries.items() if entry}
    options.show(known, as_json, lambda: "\n".join(f"{name:20} {entry['title']}" for name, entry in known.items()))


@corpora.command(epilog="\b\nExamples:\n  fusionrs-build corpora show hit-uav")
@click.argument("name")
@options.guarded
def show(name: str, as_json: bool) -> None:
    """Show one entry of the registry."""
    entry = registry.entry(name)
    if entry is None:
        raise UsageError(f"unknown corpus {name}: the registry has {', '.join(registry.names())}")
    facts = entry.model_dump(mode="json", exclude_unset=True, by_alias=True)
    settings = facts.pop("settings")
    options.show(
        {**facts, "settings": settings},
        as_json,
        lambda: "\n".join(f"{key:16} {value}" for key, value in {**facts, **settings}.items()),
    )
