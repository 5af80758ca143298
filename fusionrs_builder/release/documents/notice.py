"""NOTICE of a release: whose records it holds, on which terms, and every line that must be shown with them."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fusionrs_builder.cards.render import plain
from fusionrs_builder.shards import Row
from fusionrs_builder.workspace import Workspace

NAME = "NOTICE"

COLUMNS = (
    *("corpus", "source_url", "source_revision", "license", "license_url", "redistributable", "attribution"),
    *("rgb.path", "ir.path"),
)
"""Of a picture only the name is read: whether it is there, without its bytes."""

HEAD = """\
{title}

This release holds {records} of {corpora}. Every record stays under the terms of its publisher, which its columns
license, license_url, attribution and redistributable repeat. Show the lines under "Attribution" with the records they
stand for.

Pictures may have been resized, cut or stretched, infrared views drawn and captions written: README.md and DATASHEET.md
tell what was done.
"""


@dataclass(frozen=True, order=True)
class Terms:
    """What some records share: the corpus, where its copy came from, and what may be done with it."""

    corpus: str
    source_url: str
    source_revision: str
    license: str
    license_url: str
    redistributable: bool


@dataclass
class Holding:
    """What the release holds under the same terms.

    Attributes:
        records: rows.
        rgb: rows whose visible view is in the release.
        ir: rows whose infrared view is.
        pixels: rows with either.
        attributions: distinct lines.
    """

    records: int = 0
    rgb: int = 0
    ir: int = 0
    pixels: int = 0
    attributions: set[str] = field(default_factory=set)

    def count(self, row: Row) -> None:
        rgb, ir = row["rgb"] is not None, row["ir"] is not None
        self.records += 1
        self.rgb += rgb
        self.ir += ir
        self.pixels += rgb or ir
        if line := plain(row["attribution"] or ""):
            self.attributions.add(line)

    def add(self, other: "Holding") -> None:
        """Take in what is held under other terms."""
        self.records += other.records
        self.rgb += other.rgb
        self.ir += other.ir
        self.pixels += other.pixels
        self.attributions |= other.attributions


def gather(workspace: Workspace, layer: str, shards: Sequence[str]) -> dict[Terms, Holding]:
    """Count the records of the given release files by their terms.

    Memory grows with the distinct terms and attributions, not with the records.
    """
    found: dict[Terms, Holding] = defaultdict(Holding)
    for shard in shards:
        for row in workspace.rows(layer, shard, COLUMNS):
            terms = Terms(
                row["corpus"],
                row["source_url"] or "",
                row["source_revision"] or "",
                row["license"] or "",
                row["license_url"] or "",
                bool(row["redistributable"]),
            )
            found[terms].count(row)
    return dict(found)


def render(title: str, holdings: Mapping[Terms, Holding]) -> str:
    """The text of the file: plain, one paragraph for each set of terms; the same for the same records."""
    records, corpora = sum(held.records for held in holdings.values()), len({terms.corpus for terms in holdings})
    head = HEAD.format(
        title=plain(title),
        records=f"{records} record{'s' * (records != 1)}",
        corpora=f"{corpora} {'corpus' if corpora == 1 else 'corpora'}",
    )
    return "\n".join([head, *(_paragraph(terms, holdings[terms]) for terms in sorted(holdings))])


def _paragraph(terms: Terms, held: Holding) -> str:
    revision, link = plain(terms.source_revision), plain(terms.license_url)
    lines = [
        plain(terms.corpus),
        f"    Records: {held.records}",
        f"    Pixels: {_pixels(held)}",
        f"    Source: {plain(terms.source_url) or 'not stated'}" + (f", revision {revision}" if revision else ""),
        f"    Licence: {plain(terms.license) or 'not stated'}" + (f", {link}" if link else ""),
        f"    May be published again: {'yes' if terms.redistributable else 'no'}",
        f"    Attribution:{'' if held.attributions else ' none stated'}",
        *(f"        {line}" for line in sorted(held.attributions)),
    ]
    return "".join(f"{line}\n" for line in lines)


def _pixels(held: Holding) -> str:
    if not held.pixels:
        return "none in this release"
    return f"in this release for {held.pixels} of {held.records} (rgb {held.rgb}, ir {held.ir})"
