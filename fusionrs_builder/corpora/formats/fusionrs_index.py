"""The published index of FusionRS (arXiv 2606.17020), mapped onto one's own copies of its five sources.

{"schema_version": "fusionrs-public-index-v1", "sample_id": "RSICD_00001", "source_dataset": "RSICD",
 "source_locator": "images/rsicd_images/airport_1.jpg", "split": "val", "joint_group_id": "joint-group:...", ...}

A record a line, plain or gzip: `index` is the file, and `sources` says where the copies lie. A record becomes an item
under its sample_id, with the split and the group of the index and the image, text and rights of the source.

By the authors' own tools (`build_release_manifest.py` of frozy129/FusionRS), source_locator is the path of the image
below the folder where they kept the source, and source_record_id repeats sample_id: where it says something else it is
tried after the locator. `index_sources.py` tells how names are compared. No two locators share an image: where a copy
holds one for both, the closer has it, and neither where they are equally close.

Records of a source that is not given are only counted. All others become an item or a counted reject:
malformed_record, duplicate_key, not_in_copy, ambiguous_locator, or the reason for which the source's own reader
refuses the image.
"""

import contextlib
import gzip
import itertools
import json
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError

from fusionrs_builder.corpora.captions import refuse_tiles
from fusionrs_builder.corpora.index_sources import OUTCOMES, Closeness, Copy, CopyIndex, Coverage, expanded, folders_of
from fusionrs_builder.corpora.reader import Item, Reader, Refused, Sample, split_name
from fusionrs_builder.corpora.spool import Spool
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.settings import CorpusSettings

GZIP = b"\x1f\x8b"

MAX_LINE_BYTES = 1024 * 1024
"""A record is no longer."""


class Record(BaseModel):
    """What is needed of a line. The form without text, and the fuller one of FusionRS-CLIP, have the same keys here."""

    schema_version: Literal["fusionrs-public-index-v1", "fusionrs-index-v1"]
    sample_id: str = Field(min_length=1)
    source_dataset: Literal["NWPU", "RS5M", "RSICD", "RSITMD", "SkyScript"]
    source_record_id: str
    source_locator: str = Field(min_length=1)
    split: Literal["train", "val", "test"]
    joint_group_id: str = Field(pattern="^joint-group:[0-9a-f]{24}$")


class FusionrsIndex(Reader):
    """A record of the index is an item.

    Raises:
        UsageError: the index or a source is not given, or not there.
    """

    def __init__(self, root: Path, settings: CorpusSettings) -> None:
        super().__init__(root, settings)
        refuse_tiles(settings)
        if not settings.index:
            raise UsageError("index: say which file it is, e.g. --index fusionrs_public_index_v3_rc4_20260727.jsonl.gz")
        self.index = expanded(settings.index)
        if not self.index.is_file():
            raise UsageError(f"index: {self.index} is not a file; correct --index")
        self.folders = folders_of(settings.sources)
        self.coverage = Coverage(self.folders)
        self._copies: dict[str, Copy] = {}

    def roots(self) -> tuple[Path, ...]:
        return (self.index, *(folder for _, folder in sorted(self.folders.items())))

    def items(self) -> Iterator[Item]:
        self.coverage = Coverage(self.folders)
        with contextlib.ExitStack() as stack:
            copies = {source: Copy(source, folder) for source, folder in self.folders.items()}
            listed = {source: stack.enter_context(CopyIndex(copy)) for source, copy in copies.items()}
            claims = stack.enter_context(Spool())
            for place, record in self._records(stack.enter_context(Spool())):
                if isinstance(record, Refused):
                    yield Item(place, annotations=(str(self.index),), fault=(record.reason, record.message))
                elif record.source_dataset not in listed:
                    self.coverage.add(record.source_dataset, split_name(record.split), "not_given")
                else:
                    try:
                        item, closeness = _found(listed[record.source_dataset], record)
                        claim = [closeness, record.model_dump(), item.to_json()]
                        claims.add(f"{record.source_dataset}/{item.key}", claim)
                    except Refused as refused:
                        yield self._refused(record, refused.reason, refused.message)
            for _, several in itertools.groupby(claims.sorted(), key=lambda pair: pair[0]):
                yield from self._settled(copies, [claim for _, claim in several])

    def _records(self, seen: Spool) -> Iterator[tuple[str, Record | Refused]]:
        """Place and content of each line; the second and later records of one sample_id are refused.

        Raises:
            FusionError: the file is no such index, or not whole.
        """
        for number, line in enumerate(_lines(self.index), 1):
            if not line.strip():
                continue
            place = f"{self.index.name}:{number}"
            self.coverage.lines["records"] += 1
            try:
                record = Record.model_validate_json(line)
                before = seen.first(record.sample_id)
                if before:
                    raise Refused("duplicate_key", f"{place}: {record.sample_id} is already the record of {before}")
                seen.add(record.sample_id, place)
            except ValidationError as error:
                said = _explained(error)
                if self.coverage.lines["records"] == 1:
                    raise FusionError(_no_index(self.index, number, said)) from None
                if not line.endswith(b"\n"):
                    raise FusionError(_cut_off(self.index)) from None
                self.coverage.lines["malformed_record"] += 1
                yield place, Refused("malformed_record", f"{place}: {said}")
            except Refused as refused:
                self.coverage.lines[refused.reason] += 1
                yield place, refused
            else:
                yield place, record

    def _settled(self, copies: dict[str, Copy], claims: list[Any]) -> Iterator[Item]:
        """The items of the records that claim one image of a copy."""
        best = max(claim[0] for claim in claims)
        nearest = {claim[1]["source_locator"] for claim in claims if claim[0] == best}
        for closeness, values, found in claims:
            record, item = Record(**values), Item.from_json(found)
            if values["source_locator"] not in nearest or len(nearest) > 1:
                others = {claim[1]["source_locator"] for claim in claims} - {record.source_locator}
                said = f"{item.key} may be {record.source_locator} or {min(others)}, and both are images of the index"
                yield self._refused(record, "ambiguous_locator", said)
            elif item.fault:
                yield self._refused(record, item.fault[0], item.fault[1])
            else:
                yield self._item(record, item, copies[record.source_dataset], tuple(closeness))

    def _item(self, record: Record, item: Item, copy: Copy, closeness: Closeness) -> Item:
        self.coverage.add(record.source_dataset, split_name(record.split), "found", closeness)
        data = {"source": copy.source, "form": copy.form, "item": item.to_json()}
        return Item(
            record.sample_id,
            tuple(str(copy.folder / file) for file in item.files),
            tuple(str(copy.folder / file) for file in item.annotations),
            bytes=item.bytes,
            split=split_name(record.split),
            labels=item.labels,
            group=record.joint_group_id,
            data=json.dumps(data),
        )

    def _refused(self, record: Record, reason: str, message: str) -> Item:
        """A record that cannot be had from the copy, or whose image the source's own reader refuses."""
        source = record.source_dataset
        self.coverage.add(source, split_name(record.split), reason if reason in OUTCOMES else "refused")
        said = {
            "not_in_copy": f"{message}; complete the copy, or correct --sources {source}=FOLDER",
            "ambiguous_locator": f"{message}; give a copy with the folders of the publisher",
        }.get(reason, f"{source}: {message}")
        split, group = split_name(record.split), record.joint_group_id
        return Item(record.sample_id, split=split, group=group, fault=(reason, said))

    def read(self, item: Item) -> Sample:
        found = item.found()
        source = found["source"]
        if source not in self._copies:
            if source not in self.folders:
                raise Refused("not_in_copy", f"{source} is given no longer; add --sources {source}=FOLDER")
            self._copies[source] = Copy(source, self.folders[source], found["form"])
        sample = self._copies[source].reader.read(Item.from_json(found["item"]))
        sample.rights = self._copies[source].settings
        return sample

    def report(self) -> dict[str, Any]:
        """Coverage as the last `items` found it."""
        return {"index": self.index.name, **self.coverage.report()}

    def summary(self) -> list[str]:
        """A line for each source, for the terminal."""
        return self.coverage.summary()


def _found(listed: CopyIndex, record: Record) -> tuple[Item, Closeness]:
    """The item of a record, by its locator, else by its id in the source.

    Raises:
        Refused: there is none, or several are as close.
    """
    try:
        return listed.find(record.source_locator)
    except Refused as refused:
        if refused.reason != "not_in_copy" or record.source_record_id in ("", record.sample_id):
            raise
        return listed.find(record.source_record_id)


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzip.

    Raises:
        FusionError: it cannot be read, is cut off, or has lines that are no records.
    """
    try:
        with path.open("rb") as plain, gzip.open(plain) if plain.peek(2)[:2] == GZIP else plain as handle:
            while line := handle.readline(MAX_LINE_BYTES):
                if len(line) == MAX_LINE_BYTES:
                    raise FusionError(f"{path.name}: a line is longer than {MAX_LINE_BYTES} bytes; is it the index?")
                yield line
    except EOFError:
        raise FusionError(_cut_off(path)) from None
    except (OSError, zlib.error) as error:
        raise FusionError(f"{path} cannot be read ({error}); fetch it again") from None


def _cut_off(path: Path) -> str:
    return f"{path.name} ends in the middle: it was not downloaded in full; fetch it again"


def _no_index(path: Path, number: int, said: str) -> str:
    return (
        f"{path.name}, line {number}: {said}; an index of schema_version fusionrs-public-index-v1 was expected. "
        "Where it is a Git LFS pointer, `git lfs pull` fetches it"
    )


def _explained(error: ValidationError) -> str:
    """The first fault of a line, without its content."""
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the line'}: {first['msg']}"


READER = FusionrsIndex
