"""`raw/<corpus>/files`, which a reader sees: archives unpacked, other files under a second name.

An archive is unpacked into a folder of `unpacked`, which is then moved to its place, or into what other archives have
put there. A key of the journal says that this was begun, and the folder in `unpacked`, while it stands, that it was not
finished: a run that was killed is gone on with, and nothing is unpacked twice.
"""

import filecmp
import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.archive import kind_of, unpack
from fusionrs_builder.corpora.joined import joined
from fusionrs_builder.corpora.journal import Journal, Verified
from fusionrs_builder.corpora.unpacked import CHUNK_BYTES, hard_link
from fusionrs_builder.errors import FusionError
from fusionrs_builder.stage import digest

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """What one archive, or one other file, gives.

    Attributes:
        name: of the archive; of the other file, its path below `files`.
        parts: published files it is made of, in order.
        into: folder an archive is unpacked into.
        is_archive: whether it is unpacked.
        key: of all that, and of the content.
    """

    name: str
    parts: tuple[str, ...]
    into: str
    is_archive: bool
    key: str


def pieces(addresses: Sequence[Address], verified: Mapping[str, Verified]) -> list[Piece]:
    """The pieces of a corpus."""
    groups: dict[str, list[Address]] = {}
    for address in addresses:
        groups.setdefault(address.joined or address.name, []).append(address)
    found = []
    for name, group in groups.items():
        is_archive = bool(group[0].unpack and kind_of(name))
        parts = tuple(address.name for address in group)
        hashes = [verified[part].sha256 for part in parts]
        into = group[0].into
        found.append(Piece(name, parts, into, is_archive, digest([name, parts, into, is_archive, hashes])[:16]))
    return found


class ReaderTree:
    """The folder `files` of a corpus.

    Args:
        corpus: for messages.
        folder: of the corpus.
        journal: of the corpus.
    """

    def __init__(self, corpus: str, folder: Path, journal: Journal) -> None:
        self.corpus, self.journal = corpus, journal
        self.published, self.staged, self.root = folder / "published", folder / "unpacked", folder / "files"

    def clear(self) -> None:
        """Take away everything: it is made anew from what is published."""
        self.staged.mkdir(exist_ok=True)
        if self.root.exists():
            shutil.rmtree(self.staged / ".files", ignore_errors=True)  # a kill may have left it half removed
            os.replace(self.root, self.staged / ".files")
        self.journal.clear()
        shutil.rmtree(self.staged)

    def build(self, wanted: Sequence[Piece]) -> None:
        """Make what is missing.

        Raises:
            FusionError: an archive cannot be unpacked, or two pieces hold different files of one name.
        """
        keys = {piece.key for piece in wanted}
        if not self.journal.built <= keys or (self.journal.built and not self.root.is_dir()):
            self.clear()
        self.root.mkdir(exist_ok=True)
        if self.staged.exists():
            for left in self.staged.iterdir():
                if left.name not in keys:
                    shutil.rmtree(left)
        for piece in wanted:
            if piece.is_archive:
                self._unpack(piece)
            else:
                self._link(piece)
        if self.staged.exists():
            shutil.rmtree(self.staged)

    def _unpack(self, piece: Piece) -> None:
        staged = self.staged / piece.key
        if not staged.exists():
            if piece.key in self.journal.built:
                return
            try:
                came = unpack([self.published / part for part in piece.parts], staged, piece.name)
            except FusionError as error:
                raise type(error)(f"corpus {self.corpus}: {error}") from None
            if came.links:
                log.warning(
                    "corpus %s: %s: %d links to folders, or to nothing, left out", self.corpus, piece.name, came.links
                )
        target = self.root / piece.into
        for path in _shared(staged, target):
            raise FusionError(
                f"corpus {self.corpus}: {path.relative_to(staged)} of {piece.name} differs from the file of that name "
                f"in {target}: give one of the two archives a folder of its own (`into` of its address)"
            )
        self.journal.add(piece.key)
        target.parent.mkdir(parents=True, exist_ok=True)
        _move(staged, target)

    def _link(self, piece: Piece) -> None:
        place = self.root / piece.name
        if piece.key in self.journal.built and place.exists():
            return
        parts = [self.published / part for part in piece.parts]
        self.journal.add(piece.key)
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.staged / piece.key
        self.staged.mkdir(exist_ok=True)
        temporary.unlink(missing_ok=True)
        if len(parts) == 1:
            hard_link(parts[0], temporary)
        else:
            with joined(parts) as source, temporary.open("xb") as whole:
                shutil.copyfileobj(source, whole, CHUNK_BYTES)
        if place.exists() and not filecmp.cmp(temporary, place, shallow=False):
            raise FusionError(
                f"corpus {self.corpus}: {piece.name} differs from the file of that name which an archive holds: give "
                "one of the two another place (`to` or `into` of its address)"
            )
        os.replace(temporary, place)


def _shared(source: Path, target: Path) -> Iterator[Path]:
    """Files of a folder that another has under the same name with other content."""
    if not target.is_dir():
        if target.exists():
            yield source
        return
    for entry in os.scandir(source):
        path, there = Path(entry.path), target / entry.name
        if entry.is_dir():
            yield from _shared(path, there)
        elif there.exists() and (there.is_dir() or not filecmp.cmp(path, there, shallow=False)):
            yield path


def _move(source: Path, target: Path) -> None:
    """Move a folder to its place, or what it holds into the folder that stands there."""
    if not target.exists():
        os.replace(source, target)
        return
    if source.is_dir():
        for entry in list(os.scandir(source)):
            _move(Path(entry.path), target / entry.name)
        source.rmdir()
    else:
        source.unlink()  # the same file is there
