"""Fetching the files of a corpus into `raw/<corpus>`, so that a run that was killed goes on where it stood.

    published/<name>     what the publisher gave, verified; never altered
    files/               what a reader sees of it (`tree.py`)
    parts/               what is on its way (`part.py`)
    fetched.jsonl        what is known of all that (`journal.py`)

A file is noted before it is moved from `parts` to `published`, so that a kill between the two costs nothing. A verified
file is known again by size and time of change, and fetched again only where its content has changed as well.
"""

import itertools
import logging
import os
import shutil
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from fusionrs_builder.corpora import hub
from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.journal import Journal, Verified
from fusionrs_builder.corpora.part import Meter, Progress, digests
from fusionrs_builder.corpora.remote import scrub
from fusionrs_builder.corpora.sources import Sources
from fusionrs_builder.corpora.transfer import fetch_file
from fusionrs_builder.corpora.tree import ReaderTree, pieces
from fusionrs_builder.corpora.unpacked import Refusal, inside
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.files import Files

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Fetched:
    """What stands of a corpus.

    Attributes:
        files, bytes: all that is published of it.
        fetched_files, fetched_bytes: those of them that came in this run.
        kept_files: those that were there and verified.
        sha256: of each, by name.
    """

    files: int
    bytes: int
    fetched_files: int
    fetched_bytes: int
    kept_files: int
    sha256: dict[str, str]


def fetch(
    corpus: str,
    addresses: Sequence[Address],
    folder: Path,
    *,
    workers: int = 8,
    per_host: int = 4,
    progress: Progress | None = None,
) -> Fetched:
    """Get the files of a corpus, and lay them out for its reader. No other process may do so at the same time.

    Args:
        corpus: for messages.
        addresses: what is published.
        folder: of the corpus, `raw/<corpus>` of a workspace on this machine's disks.
        workers: files at a time.
        per_host: requests at a time to one host.
        progress: called with the bytes that came since the last call (fewer than none where some were thrown away), and
            with all that are expected, None as long as some host has not said.

    Raises:
        UsageError: an address is wrong, or what reads it is not installed.
        FusionError: a file cannot be had, is not the published one, or cannot be unpacked.
    """
    with Files(str(folder)).explained("published"):
        folder.mkdir(parents=True, exist_ok=True)
        journal = Journal(folder)
        files = _files(corpus, addresses, journal)
        tree = ReaderTree(corpus, folder, journal)
        missing = [address for address in files if not _stands(corpus, address, folder, journal, tree)]
        _fetch_all(corpus, missing, folder, journal, workers, per_host, Meter(missing, progress))
        tree.build(pieces(files, journal.files))
    found = {address.name: journal.files[address.name] for address in files}
    return Fetched(
        files=len(found),
        bytes=sum(each.size for each in found.values()),
        fetched_files=len(missing),
        fetched_bytes=sum(found[address.name].size for address in missing),
        kept_files=len(found) - len(missing),
        sha256={name: each.sha256 for name, each in found.items()},
    )


def _files(corpus: str, addresses: Sequence[Address], journal: Journal) -> list[Address]:
    """An address a file: patterns are listed, once.

    Raises:
        UsageError: two have one name, or one has a name that cannot be kept.
    """
    files: list[Address] = []
    for address in addresses:
        for url in (address.url, *address.mirrors):
            hub.resolved(url)
        if not hub.is_pattern(address.url):
            files.append(address)
            continue
        if address.mirrors:
            raise UsageError(f"corpus {corpus}: {address.url} stands for many files, so it can have no mirrors")
        if address.url not in journal.listings:
            journal.matched(address.url, hub.listed(address.url))
        files += hub.expanded(address, journal.listings[address.url])
    seen: dict[str, str] = {}
    for file in files:
        try:
            if inside(file.name) != file.name:
                raise Refusal
        except Refusal:
            raise UsageError(
                f"corpus {corpus}: {scrub(file.url)} would be kept as {file.name!r}: give it a name with `to`"
            ) from None
        if file.name in seen:
            raise UsageError(
                f"corpus {corpus}: {scrub(seen[file.name])} and {scrub(file.url)} would both be kept as {file.name}: "
                "give one of them another name with `to`"
            )
        seen[file.name] = file.url
    return files


def _stands(corpus: str, address: Address, folder: Path, journal: Journal, tree: ReaderTree) -> bool:
    """Whether a file is there and verified."""
    path, known = folder / "published" / address.name, journal.files.get(address.name)
    part = folder / "parts" / f"{address.name}.part"
    if known and not path.exists() and _stamp(part) == (known.size, known.mtime_ns):
        _publish(part, path)  # a kill came between the note and the move
    stamp = _stamp(path)
    if stamp is None:
        return False
    if known and stamp == (known.size, known.mtime_ns) and _agrees(address, known):
        return True
    found = Verified(*stamp, *digests(path))
    has_changed = known is not None and found.sha256 != known.sha256
    if has_changed:
        tree.clear()  # it holds what was made of it, or the same file under another name
    if _agrees(address, found) and (address.md5 or address.sha256 or (known and not has_changed)):
        journal.verified(address.name, found)
        return True
    if has_changed:
        log.warning("corpus %s: %s has changed since it was fetched: it is fetched again", corpus, path)
    return False


def _agrees(address: Address, found: Verified) -> bool:
    """Whether a file is the published one, as far as is published."""
    return (
        address.bytes in (None, found.size) and address.md5 in ("", found.md5) and address.sha256 in ("", found.sha256)
    )


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_size, status.st_mtime_ns


def _publish(part: Path, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.replace(part, path)
    part.with_suffix(".json").unlink(missing_ok=True)


def _fetch_all(
    corpus: str, missing: Sequence[Address], folder: Path, journal: Journal, workers: int, per_host: int, meter: Meter
) -> None:
    """Fetch files, several at a time; one that cannot be had does not keep the others from coming.

    Raises:
        FusionError: for the first that cannot be had, when all others are through.
    """
    if not missing:
        return
    sources = Sources(per_host)

    def work(address: Address) -> None:
        path = folder / "published" / address.name
        part, found = fetch_file(corpus, address, folder / "parts", sources, meter)
        journal.verified(address.name, found)
        _publish(part, path)

    pool = ThreadPoolExecutor(workers, thread_name_prefix="fetch")
    try:
        waiting = {pool.submit(work, address) for address in _by_turns(missing)}
        failed: list[FusionError] = []
        while waiting:
            done, waiting = wait(waiting, return_when=FIRST_EXCEPTION)
            for future in done:
                failed += _failure(future)
    finally:
        sources.give_up()
        pool.shutdown(cancel_futures=True)
        sources.close()
    if failed:
        more = f" (and {len(failed) - 1} more files)" if failed[1:] else ""
        raise type(failed[0])(f"{failed[0]}{more}")
    shutil.rmtree(folder / "parts", ignore_errors=True)


def _failure(future: "Future[None]") -> list[FusionError]:
    """Why a file cannot be had; any other exception, such as of a full disk, ends the work."""
    try:
        future.result()
    except FusionError as error:
        return [error]
    return []


def _by_turns(addresses: Sequence[Address]) -> list[Address]:
    """Files of each host in turn, so that those of one do not wait behind those of another."""
    hosts: dict[str, list[Address]] = defaultdict(list)
    for address in addresses:
        hosts[urlsplit(address.url).netloc].append(address)
    return [address for turn in itertools.zip_longest(*hosts.values()) for address in turn if address]
