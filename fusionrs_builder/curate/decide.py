"""The decisions of curate, over all records at once: groups, splits, and what is left out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from fusionrs_builder.curate import duplicates, footprints, groups, near_duplicates, splits
from fusionrs_builder.curate.groups import Numbers, Pairs
from fusionrs_builder.curate.pool import Pool
from fusionrs_builder.errors import FusionError
from fusionrs_builder.settings import CurateSettings

LINKS = ("pixels", "look", "infrared", "caption", "place", "publisher")
"""What joins records: equal pixels, near-duplicates, equal or nearly equal infrared, captions, footprints, and the
publisher's own groups. A record has a bit for each that joined it to others."""


@dataclass(frozen=True)
class Decisions:
    """What was decided for the rows of one shard.

    Attributes:
        numbers: uint64, of the group of each row.
        stands: bool, whether that is a group of the index of FusionRS.
        rest: uint32, the rest of its name then.
        links: uint8, bits of `LINKS`.
        splits: int8, index into `splits.SPLITS`, or `UNSPLIT`.
        reasons: of the rows that are not kept.
    """

    numbers: NDArray[np.uint64]
    stands: NDArray[np.bool_]
    rest: NDArray[np.uint32]
    links: NDArray[np.uint8]
    splits: NDArray[np.int8]
    reasons: Mapping[int, str]


def decide(pool: Pool, settings: CurateSettings, seed: int, shards: Sequence[str]) -> dict[str, Decisions]:
    """Decide for every record, and tell what concerns each of the shards.

    Raises:
        FusionError: two records have one id.
    """
    order = pc.sort_indices(pool.ids).to_numpy().astype(np.int64)
    _check_unique(pool.ids, order)
    by_id = np.empty_like(order)
    by_id[order] = np.arange(len(order))
    held_out = _held_out(pool, settings.protect)
    # Of equal records the held-out one stays, lest a benchmark lose an image; then one that people wrote about.
    rank = np.empty_like(order)
    rank[np.lexsort((by_id, ~pool.captioned, -held_out))] = np.arange(len(order))
    usable = np.ones(len(pool), np.bool_)
    usable[np.fromiter(pool.refused, np.int64, len(pool.refused))] = False
    original = duplicates.originals(rank, usable, (pool.pixels, pool.seen))
    kept = usable & (original == np.arange(len(original)))

    linked = found_links(pool, settings.phash_radius)
    bits = np.zeros(len(pool), np.uint8)
    for place, pairs in enumerate(linked):
        bits[pairs.ravel()] |= np.uint8(1 << place)
    group, standing = groups.parted(groups.connected(len(pool), linked), pool.standing, rank)
    rest = np.zeros(int(group.max(initial=-1)) + 1, np.uint32)
    np.maximum.at(rest, group, pool.standing_rest)
    named_by = groups.smallest(group, by_id, np.ones_like(usable))
    numbers = np.fromiter((groups.group_number(pool.ids[int(one)].as_py()) for one in named_by), np.uint64)
    split = _split(pool, group, numbers, kept, rank, held_out, settings, seed)

    return {
        shard: Decisions(
            np.where(standing[here] != groups.NO_KEY, standing[here], numbers[group[here]]),
            standing[here] != groups.NO_KEY,
            rest[group[here]],
            bits[here],
            split[group[here]],
            _reasons(pool, original, here),
        )
        for shard, here in ((shard, pool.places[shard]) for shard in shards)
    }


def _reasons(pool: Pool, original: Numbers, here: slice) -> dict[int, str]:
    """Why rows of a shard are not kept."""
    records = range(here.start, here.stop)
    found = {record - here.start: pool.refused[record] for record in records if record in pool.refused}
    for row in np.flatnonzero(original[here] != np.array(records)).tolist():
        found[row] = f"duplicate: same pixels as {pool.ids[int(original[here.start + row])].as_py()}"
    return found


def found_links(pool: Pool, radius: int) -> tuple[Pairs, ...]:
    """What joins records, in the order of `LINKS`."""
    infrared = _near(pool, pool.infrared_hashes, pool.infrared_plain, "ir", "ir_look", radius)
    return (
        groups.equal(pool.pixels),
        _near(pool, pool.hashes, pool.plain, "rgb", "look", radius),
        np.concatenate([groups.equal(pool.infrared), infrared]),
        pool.sentences.links(),
        footprints.links(pool.boxes, pool.placed),
        groups.equal(pool.published),
    )


def _near(pool: Pool, hashes: groups.Keys, plain: NDArray[np.bool_], layer: str, column: str, radius: int) -> Pairs:
    """Near-duplicates among the pictures that are not plain."""
    records = np.flatnonzero(~plain)
    pairs = near_duplicates.links(hashes[records], lambda some: pool.looks(layer, column, records[some]), radius)
    return records[pairs]


def _held_out(pool: Pool, protect: Sequence[str]) -> NDArray[np.int8]:
    """The split each record must stay in: the publisher's test or validation, or test where it is protected."""
    known = [splits.SPLITS.index(name) if name in splits.SPLITS[1:] else splits.UNSPLIT for name in pool.splits]
    found = np.array([*known, splits.UNSPLIT], np.int8)[pool.split]
    for each in protect:
        corpus, _, split = each.partition(":")
        if corpus in pool.corpora and split in pool.splits:
            named = (pool.corpus == pool.corpora.index(corpus)) & (pool.split == pool.splits.index(split))
            found[named] = splits.TEST
    return found


def _split(
    pool: Pool,
    group: Numbers,
    numbers: NDArray[np.uint64],
    kept: NDArray[np.bool_],
    rank: Numbers,
    held_out: NDArray[np.int8],
    settings: CurateSettings,
    seed: int,
) -> NDArray[np.int8]:
    """The split of each group; `UNSPLIT` where no record of it is kept."""
    decided_by = groups.smallest(group, rank, kept)
    alive = np.flatnonzero(decided_by >= 0)
    held = np.full(len(numbers), splits.UNSPLIT, np.int8)
    np.maximum.at(held, group, held_out)  # what is refused here stands in the publisher's test split all the same
    published = np.zeros((len(pool.corpora), len(splits.SPLITS)), np.bool_)
    has = held_out != splits.UNSPLIT
    published[pool.corpus[has], held_out[has]] = True
    each = splits.Groups(
        numbers[alive],
        np.bincount(group[kept], minlength=len(numbers))[alive],
        pool.corpus[decided_by[alive]],
        held[alive],
        pool.corpora,
    )
    found = np.full(len(numbers), splits.UNSPLIT, np.int8)
    found[alive] = splits.assign(each, settings.split, seed, published)
    return found


def _check_unique(ids: pa.Array, order: Numbers) -> None:
    in_order = ids.take(pa.array(order))
    again = pc.index(pc.equal(in_order[1:], in_order[:-1]), True).as_py() if len(in_order) > 1 else -1
    if again >= 0:
        raise FusionError(
            f"two records have the id {in_order[again].as_py()}: a corpus was read twice under one name; delete its "
            "shards in rgb/ and run `fusionrs-build download` again"
        )
