"""corpora list | show | check: what the registry knows, and whether its addresses still answer."""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import click

from fusionrs_builder.cli import options
from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.errors import UsageError

NOT_SHOWN = {"title", "license", "license_url", "attribution", "redistributable", "source_url", "source_revision"}
"""Settings that `show` names elsewhere."""


@click.group(epilog="\b\nExamples:\n  fusionrs-build corpora list\n  fusionrs-build corpora check eurosat-ms")
def corpora() -> None:
    """The corpora known to this package."""


@corpora.command("list", epilog="\b\nExamples:\n  fusionrs-build corpora list\n  fusionrs-build corpora list --json")
@options.guarded
def list_(as_json: bool) -> None:
    """List the registry.

    GET IT says how: fetch (download does it), manual (a form, a login or a shared drive stands in the way: see show),
    stac (cut from a catalogue by place and year), own copy (give its folder with --from).
    """
    entries = [(name, entry) for name in registry.names() if (entry := registry.entry(name))]
    options.show(
        {name: {**_facts(entry), "how": entry.how} for name, entry in entries},
        as_json,
        lambda: _columns(
            [
                ("NAME", "KIND", "BANDS", "IMAGES", "SIZE", "PUBLISH AGAIN", "GET IT", "LICENCE"),
                *(
                    (
                        name,
                        entry.kind,
                        ",".join(entry.bands),
                        f"{entry.records:,}" if entry.records else "?",
                        _fetched(entry),
                        entry.redistribution,
                        entry.how,
                        _short(entry.settings.license, 40),
                    )
                    for name, entry in entries
                ),
            ]
        ),
    )


@corpora.command(epilog="\b\nExamples:\n  fusionrs-build corpora show hit-uav")
@click.argument("name")
@options.guarded
def show(name: str, as_json: bool) -> None:
    """Show one entry of the registry."""
    entry = registry.entry(name)
    if entry is None:
        raise UsageError(f"unknown corpus {name}: the registry has {', '.join(registry.names())}")
    options.show(_facts(entry), as_json, lambda: "\n".join(_page(name, entry)))


@corpora.command(
    epilog="\b\nExamples:\n  fusionrs-build corpora check\n  fusionrs-build corpora check eurosat-ms loveda --json"
)
@click.argument("names", nargs=-1)
@click.option("--timeout", type=click.FloatRange(min=0.1), default=15.0, show_default=True, help="seconds of silence")
@options.guarded
def check(names: tuple[str, ...], timeout: float, as_json: bool) -> None:
    """Ask every address of the registry, or of NAMES, for a few bytes, and print how it answers.

    Exit code 1 when an address is broken: gone, of the wrong size, an HTML page, other content, behind a login, or
    unreachable.
    """
    from fusionrs_builder.corpora import check as health

    found = health.check(names, timeout)
    broken = sum(one.broken for one in found)
    rows = [(one.verdict, one.corpus, _size(one.bytes), one.url, one.detail) for one in found]
    options.show(
        {"addresses": [{**asdict(one), "broken": one.broken} for one in found], "broken": broken},
        as_json,
        lambda: _columns([("VERDICT", "CORPUS", "SIZE", "ADDRESS", "DETAIL"), *rows]),
    )
    counts = ", ".join(f"{count} {verdict}" for verdict, count in health.counted(found).items())
    click.echo(f"{len(found)} addresses: {counts}", err=True)
    if broken:
        sys.exit(1)


def _facts(entry: registry.Entry) -> dict[str, Any]:
    """The entry as written, its settings last."""
    facts = entry.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return {**facts, "unknown": entry.unknown, "settings": facts.pop("settings")}


def _page(name: str, entry: registry.Entry) -> Iterable[str]:
    """One entry for people."""
    settings = entry.settings
    gsd = (
        f"{entry.gsd_m[0]:g} to {entry.gsd_m[1]:g}"
        if isinstance(entry.gsd_m, tuple)
        else f"{entry.gsd_m:g}"
        if entry.gsd_m
        else ""
    )
    splits = ", ".join(f"{split} {count:,}" for split, count in entry.splits.items())
    facts = {
        "kind": entry.kind,
        "bands": ", ".join(entry.bands),
        "metres a pixel": gsd,
        "images": " ".join(
            filter(None, [f"{entry.records:,}" if entry.records else "", f"({splits})" if splits else ""])
        ),
        "licence": " ".join(filter(None, [settings.license, settings.license_url])),
        "publish again": entry.redistribution,
        "attribution": settings.attribution,
        "cite": entry.citation,
        "home page": entry.homepage,
        "source": " @ ".join(filter(None, [settings.source_url, settings.source_revision])),
        "shares images": ", ".join(entry.overlaps),
    }
    yield f"{name}: {entry.title}"
    yield from (f"  {label:14} {text}" for label, text in facts.items() if text)
    read = settings.model_dump(mode="json", exclude_unset=True, exclude=NOT_SHOWN)
    yield from _section("Read with", (f"{key} = {_plain(value)}" for key, value in read.items()))
    if entry.stac:
        yield from _section("Catalogue", [f"{entry.stac.url}, collection {entry.stac.collection}"])
    yield from _section("Addresses", map(_address, entry.files))
    yield from _section("By hand", entry.manual.strip().split("\n") if entry.manual else [])
    yield from _section("Unverified", entry.unverified)
    yield from _section("Not known", [", ".join(entry.unknown)] if entry.unknown else [])
    needed = {"stac": " --bbox W,S,E,N --year YEAR", "fetch": ""}.get(entry.how, " --from PATH")
    if entry.settings.format == "fusionrs-index":
        needed = " --index FILE --sources RSICD=FOLDER,NWPU=FOLDER,..."
    yield f"\nnext: fusionrs-build download {name}{needed}"


def _section(title: str, lines: Iterable[str]) -> Iterable[str]:
    lines = list(lines)
    if lines:
        yield f"\n{title}"
        yield from (f"  {line}" for line in lines)


def _address(file: Address) -> str:
    known = [_size(file.bytes)] if file.bytes is not None else []
    known += [f"{kind} {digest}" for kind, digest in (("md5", file.md5), ("sha256", file.sha256)) if digest]
    mirrors = "".join(f"\n  or {mirror}" for mirror in file.mirrors)
    return f"{file.url}{mirrors}" + (f"\n    {', '.join(known)}" if known else "")


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text, each column as wide as its widest cell."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def _fetched(entry: registry.Entry) -> str:
    """Size of what is fetched; `+` where that of some files is not known."""
    sizes = [file.bytes for file in entry.files]
    known = [size for size in sizes if size is not None]
    return (_size(sum(known)) if known else "?" if sizes else "") + ("+" if 0 < len(known) < len(sizes) else "")


def _plain(value: Any) -> str:
    """A setting without the marks of Python."""
    if isinstance(value, dict):
        return ", ".join(f"{key}: {_plain(part)}" for key, part in value.items())
    return ", ".join(map(_plain, value)) if isinstance(value, list) else str(value)


def _size(count: int | None) -> str:
    if count is None:
        return "?"
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"


def _short(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 3] + "..."
