"""What a translator learns from: visible images, infrared images, and pairs of both, each drawn corpus by corpus."""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.stage import digest
from fusionrs_builder.translate.domains import Kept, Record, Source, Store, records
from fusionrs_builder.translate.pairs import Pair, pattern

VALIDATION = 0.1
"""Share of the records kept for validation."""

FEWEST = 10
"""Records of a domain below which none is spared for validation."""


FEWEST_VIEWS = 4
"""Real infrared images kept for validation below which their statistics have no spread to measure by."""


class Entry(NamedTuple):
    """A record whose images are kept in a `Store`."""

    key: str
    rgb: Kept | None
    ir: Kept | None


@dataclass
class Domain:
    """Records of one kind, by corpus.

    Attributes:
        corpora: their entries, in order.
        sizes: of each corpus, bytes.
    """

    corpora: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    sizes: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def add(self, corpus: str, entry: Entry) -> None:
        self.corpora[corpus].append(entry)
        self.sizes[corpus] += _bytes(entry)

    def __len__(self) -> int:
        return sum(map(len, self.corpora.values()))

    def all(self) -> list[Entry]:
        return [entry for corpus in sorted(self.corpora) for entry in self.corpora[corpus]]

    def matching(self, regex: str) -> "Domain":
        """The entries whose key matches.

        Raises:
            UsageError: it is no regular expression, or matches nothing or all.
        """
        wanted, found = pattern(regex), Domain()
        assert wanted is not None
        for corpus, entries in self.corpora.items():
            for entry in entries:
                if wanted.search(entry.key):
                    found.add(corpus, entry)
        if len(found) in (0, len(self)):
            some = "all of the pairs that are learnt from have" if len(found) else "no pair that is learnt from has"
            raise UsageError(f"{some} a key that matches {regex!r}: name some, and leave some")
        return found

    def draw(self, rng: np.random.Generator) -> Entry:
        """An entry; its corpus is chosen by the root of its size in bytes, lest the largest drown the rest."""
        names = sorted(self.corpora)
        roots = np.sqrt([1.0 + self.sizes[name] for name in names])
        entries = self.corpora[names[int(rng.choice(len(names), p=roots / roots.sum()))]]
        return entries[int(rng.integers(len(entries)))]


def _bytes(entry: Entry) -> int:
    return sum(kept.length for kept in (entry.rgb, entry.ir) if kept)


@dataclass
class TrainingData:
    """What is learnt from and what is chosen by.

    Attributes:
        store: of the images.
        visible: domain of the RGB images.
        infrared: domain of the infrared images.
        pairs: domain of the records with both; empty unless paired.
        checks: records kept for validation, `visible`, `infrared` and `pairs` likewise.
        held_out: pairs to score by in the end.
        sources: of all but what is held out.
    """

    store: Store = field(default_factory=Store)
    visible: Domain = field(default_factory=Domain)
    infrared: Domain = field(default_factory=Domain)
    pairs: Domain = field(default_factory=Domain)
    checks: dict[str, list[Entry]] = field(default_factory=lambda: {"visible": [], "infrared": [], "pairs": []})
    held_out: "KeptPairs" = field(init=False)
    sources: set[Source] = field(default_factory=set)

    def key(self) -> str:
        """sha256 of what is learnt from and chosen by: keys, by domain."""
        domains = {"visible": self.visible, "infrared": self.infrared, "pairs": self.pairs}
        learnt = {name: [[entry.key, _bytes(entry)] for entry in domain.all()] for name, domain in domains.items()}
        return digest([learnt, {name: [entry.key for entry in kept] for name, kept in self.checks.items()}])

    def validates(self) -> bool:
        """Whether there is something to choose weights by."""
        unpaired = min(len(self.checks["visible"]), len(self.checks["infrared"]))
        return bool(self.checks["pairs"]) or unpaired >= FEWEST_VIEWS

    def __post_init__(self) -> None:
        self.held_out = KeptPairs(self.store, [])


class KeptPairs(Sequence[Pair]):
    """Pairs that are decoded when asked for."""

    def __init__(self, store: Store, entries: list[Entry]) -> None:
        self.store, self.entries = store, entries

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, index: int) -> Pair:  # type: ignore[override]
        return decoded(self.store, self.entries[index])


def decoded(store: Store, entry: Entry) -> Pair:
    """Both images of an entry.

    Raises:
        FusionError: one cannot be decoded, or they differ in size.
    """
    assert entry.rgb is not None
    assert entry.ir is not None
    pair = Pair(entry.key, store.visible(entry.rgb, entry.key), store.infrared(entry.ir, entry.key))
    if pair.rgb.shape[:2] != pair.ir.shape:
        sizes = f"rgb {pair.rgb.shape[1]}x{pair.rgb.shape[0]}, ir {pair.ir.shape[1]}x{pair.ir.shape[0]}"
        raise FusionError(f"record {entry.key}: {sizes} pixels: a pair must be of one size")
    return pair


def read(
    visible: Sequence[str], infrared: Sequence[str], band: str, paired: bool, hold_out: str | None = None
) -> TrainingData:
    """Look through the places and sort what is there.

    Records with both images become pairs where `paired`; two folders are paired by the paths of their files. Whatever
    is no pair goes to the domains, and so do the halves of pairs: data that are paired in part are learnt from in full.
    A tenth of the records, told by their keys, is kept for validation.

    Args:
        visible: places of RGB images: folders, workspaces, releases.
        infrared: places of infrared ones.
        band: of the infrared images; drawn ones are passed over.
        paired: use pairs as pairs.
        hold_out: regular expression searched in keys: pairs that match are neither learnt from nor validated by.

    Raises:
        UsageError: a place is no such thing, two images have one name, or the pattern is none or matches nothing.
        FusionError: a file is damaged.
    """
    held, data = pattern(hold_out), TrainingData()
    found: dict[str, Entry] = {}
    sources: dict[str, Source] = {}
    for places, role in ((visible, "visible"), (infrared, "infrared")):
        for place in places:
            for record in records(place, band, role):
                _keep(data.store, found, record, role)
                sources[record.key] = record.source
    out = {key for key in found if held is not None and held.search(key)}
    if held is not None and not out:
        raise UsageError(f"no record has a key that matches {hold_out!r}: nothing would be held out")
    data.sources = {sources[key] for key in found if key not in out}
    for entry in _joined(found) if paired else found.values():
        # Two folders of one name are not pairs because their files have the same names.
        whole = entry.rgb is not None and entry.ir is not None and (paired or entry.rgb.path is None)
        if entry.key in out:
            if whole:
                data.held_out.entries.append(entry)
            continue
        _sort(data, sources[entry.key].corpus, entry, paired and whole)
    _spare_few(data)
    return data


def _keep(store: Store, found: dict[str, Entry], record: Record, role: str) -> None:
    """Keep the image a place was named for, beside what the same record was read for before."""
    entry = found.get(record.key, Entry(record.key, None, None))
    image, before = (record.rgb, entry.rgb) if role == "visible" else (record.ir, entry.ir)
    if image is not None and before is not None:
        where = f": {before.path} and {image}" if isinstance(image, Path) else ""
        raise UsageError(f"two {role} images are named {record.key}{where}: rename a folder, or name it once")
    if role == "visible" and record.rgb is not None:
        found[record.key] = entry._replace(rgb=store.keep(record.rgb))
    elif role == "infrared" and record.ir is not None:
        found[record.key] = entry._replace(ir=store.keep(record.ir))


def _joined(found: dict[str, Entry]) -> list[Entry]:
    """Files of the same path below two folders are one record: that of the visible one.

    Raises:
        UsageError: a path occurs more than once on either side.
    """
    sides: dict[str, dict[str, Entry]] = {"visible": {}, "infrared": {}}
    for entry in found.values():
        for side, kept, other in (("visible", entry.rgb, entry.ir), ("infrared", entry.ir, entry.rgb)):
            path = entry.key.partition("/")[2]
            if kept is None or kept.path is None or other is not None:
                continue
            if path in sides[side]:
                both = f"{sides[side][path].key} and {entry.key}"
                raise UsageError(
                    f"two {side} images of one path, {both}: which is the partner? Name one pair of folders"
                )
            sides[side][path] = entry
    joined = []
    for entry in found.values():
        path = entry.key.partition("/")[2]
        if entry is sides["visible"].get(path) and path in sides["infrared"]:
            joined.append(entry._replace(ir=sides["infrared"][path].ir))
        elif not (entry is sides["infrared"].get(path) and path in sides["visible"]):
            joined.append(entry)
    return joined


def _sort(data: TrainingData, corpus: str, entry: Entry, pair: bool) -> None:
    check = zlib.crc32(entry.key.encode()) / 2**32 < VALIDATION
    domains = [
        (name, domain)
        for name, domain, there in (
            ("visible", data.visible, entry.rgb),
            ("infrared", data.infrared, entry.ir),
            ("pairs", data.pairs, pair),
        )
        if there
    ]
    for name, domain in domains:
        if check:
            data.checks[name].append(entry)
        else:
            domain.add(corpus, entry)


def _spare_few(data: TrainingData) -> None:
    """Nothing is kept for validation of a domain with too few records; a pair is learnt from in all domains or none."""
    domains = {"visible": data.visible, "infrared": data.infrared, "pairs": data.pairs}
    few = [name for name, domain in domains.items() if 0 < len(domain) + len(data.checks[name]) < FEWEST]
    back = {entry.key for name in few for entry in data.checks[name]}
    for name, domain in domains.items():
        for entry in data.checks[name]:
            if entry.key in back:
                domain.add(entry.key.partition("/")[0], entry)
        data.checks[name] = [entry for entry in data.checks[name] if entry.key not in back]


def check(data: TrainingData, band: str, wants_pairs: bool, places: Iterable[str]) -> None:
    """Whether there is enough to learn from.

    Raises:
        UsageError: there is not.
    """
    named = ", ".join(dict.fromkeys(places))
    if wants_pairs and not len(data.pairs):
        raise UsageError(
            f"no pairs of RGB and measured {band} in {named}: a pair is a record with both, or two files of one path "
            "in two folders; is all of it held out, or of another band?"
        )
    if wants_pairs:
        return
    for name, domain in (("visible", data.visible), (f"infrared ({band})", data.infrared)):
        if len(domain) < 2:
            what = "no image" if not len(domain) else "a single image"
            raise UsageError(
                f"{named}: {what} in the {name} domain: an unpaired translator learns what images have in common, "
                "name a place with at least two"
            )
