"""Embeddings of pictures and texts: every distinct one goes through the model once, for all tasks and later runs."""

import contextlib
import hashlib
import sys
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder.benchmark.embedding_cache import Rows
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Encoders
from fusionrs_builder.benchmark.records import Records, View
from fusionrs_builder.engines.progress import Progress
from fusionrs_builder.errors import FusionError

BATCH = 32
"""Pictures that the model is given at once."""

TEXT_BATCH = 256
"""Texts that the model is given at once."""

THREADS = 2
"""That decode pictures."""

AHEAD = 32
"""Pictures that are decoded while the model works on those before them."""


class Vectors(NamedTuple):
    """Embeddings of items, in their order.

    Attributes:
        embeddings: [N, d]; rows that failed hold zeros.
        failed: [N].
    """

    embeddings: NDArray[np.float32]
    failed: NDArray[np.bool_]


class Source(Protocol):
    """What tasks read embeddings from; the attributes are those of `EmbeddingModel`."""

    spec: str
    name: str
    pretrained: str
    identity: str
    trained_on: tuple[str, ...]

    def views(self, view: View, places: Sequence[int]) -> Vectors | None:
        """Of the records at these places, which all have the view; None where there are none of that view at all."""

    def texts(self, texts: Sequence[str]) -> Vectors | None:
        """None where the source takes no text."""


class _Item(NamedTuple):
    """Something to embed: what it is known by, its name to the user, and itself or why it cannot be read."""

    digest: bytes
    name: str
    content: Any


class Encoded:
    """A source: a model over the records of a split.

    Attributes:
        spec, name, pretrained, identity, trained_on: of the model.
        seconds: that the model took for pictures in this run.
        encoded: how many pictures it was given in this run.
    """

    def __init__(
        self,
        model: EmbeddingModel,
        records: Records,
        cache: Path | None,
        device: str,
        say: Callable[[str], None] = lambda line: print(line, file=sys.stderr, flush=True),
    ) -> None:
        """Find what was embedded before; the model is not opened before something else is asked for.

        Args:
            model: see the class.
            records: see the class.
            cache: a folder, made if need be; None, or a model that is not to be cached: nothing is kept on the disk.
            device: torch device of the model.
            say: takes lines for the user.

        Raises:
            FusionError: the cache cannot be made there.
        """
        self.spec, self.name, self.pretrained = model.spec, model.name, model.pretrained
        self.identity, self.trained_on = model.identity, model.trained_on
        self.seconds, self.encoded = 0.0, 0
        self._model, self._records, self._device, self._say = model, records, device, say
        known = f"{self.identity} {device.partition(':')[0]}"  # kinds of devices round otherwise
        folder = cache / hashlib.sha256(known.encode()).hexdigest() if cache and model.cached else None
        self._rows = Rows(folder, say)
        self._encoders: Encoders | None = None
        self._reasons: dict[bytes, str] = {}

    def views(self, view: View, places: Sequence[int]) -> Vectors:
        """Embeddings of a view of the records at these places.

        Raises:
            FusionError: a record has no such view, all of several failed, or the model does.
        """
        wanted: dict[bytes, int] = {}
        digests = []
        for place in places:
            key = self._records[place].key(view)
            if key is None:
                raise FusionError(f"{self._records[place].id} has no {view} view in {self._records.dataset}")
            role = "infrared " if self._model.two_towers and view != "rgb" else ""
            digests.append(hashlib.sha256(f"{role}{key}".encode()).digest())
            wanted.setdefault(digests[-1], place)
        missing = {digest: place for digest, place in wanted.items() if self._unknown(digest)}
        if missing:
            self._embed(view, self._pictures(view, missing), len(missing))
        return self._vectors(view, digests)

    def texts(self, texts: Sequence[str]) -> Vectors | None:
        """Embeddings of texts; None where the model takes none.

        Raises:
            FusionError: all of several failed, or the model does.
        """
        if self._rows.facts.get("takes_text") is False:
            return None
        digests = [_text_digest(text) for text in texts]
        missing = {digest: text for digest, text in zip(digests, texts, strict=True) if self._unknown(digest)}
        if missing:
            if self._opened().texts is None:
                return None
            self._embed("text", (_Item(digest, text[:60], text) for digest, text in missing.items()), len(missing))
        return self._vectors("text", digests)

    def _unknown(self, digest: bytes) -> bool:
        return digest not in self._rows and digest not in self._reasons

    def _opened(self) -> Encoders:
        if self._encoders is None:
            self._encoders = self._model.open(self._device)
            facts = {name: getattr(self, name) for name in ("spec", "name", "pretrained", "identity")}
            self._rows.write_facts({**facts, "takes_text": self._encoders.texts is not None})
        return self._encoders

    def _pictures(self, view: View, missing: Mapping[bytes, int]) -> Generator[_Item, None, None]:
        """Pictures in their order, a bounded number of them decoded ahead."""

        def read(place: int) -> Image.Image | FusionError:
            try:
                return self._records.picture(place, view)
            except FusionError as error:
                return error

        todo = iter(missing.items())
        waiting: deque[tuple[bytes, int, Future[Image.Image | FusionError]]] = deque()
        pool = ThreadPoolExecutor(THREADS)
        try:
            while True:
                waiting.extend(
                    (digest, place, pool.submit(read, place)) for digest, place in islice(todo, AHEAD - len(waiting))
                )
                if not waiting:
                    return
                digest, place, picture = waiting.popleft()
                yield _Item(digest, self._records[place].id, picture.result())
        finally:
            pool.shutdown(cancel_futures=True)

    def _embed(self, what: str, items: Generator[_Item, None, None], count: int) -> None:
        """Put items through the model and keep what comes out, also where it stops in the middle."""
        with contextlib.closing(items), Progress(f"{self.name}: {what}", count) as progress:
            try:
                while batch := list(islice(items, TEXT_BATCH if what == "text" else BATCH)):
                    good = [item for item in batch if not isinstance(item.content, FusionError)]
                    for item in batch:
                        if isinstance(item.content, FusionError):
                            self._fail(what, item, str(item.content))
                    for item, row in zip(good, self._through(what, good), strict=True):
                        if not np.isfinite(row).all():
                            self._fail(what, item, f"{item.name}: its embedding is not finite")
                        elif not row.any():
                            self._fail(what, item, f"{item.name}: its embedding is of length 0")
                        else:
                            self._rows.put(item.digest, row)
                    progress(len(batch))
            finally:
                self._rows.flush()

    def _through(self, what: str, items: Sequence[_Item]) -> Sequence[NDArray[np.float32]]:
        if not items:
            return ()
        contents, encoders = [item.content for item in items], self._opened()
        if what == "text":
            assert encoders.texts is not None
            found = encoders.texts(contents)
        else:
            embed = encoders.images if what == "rgb" or encoders.infrared is None else encoders.infrared
            started = time.perf_counter()
            found = embed(contents)
            self.seconds += time.perf_counter() - started
            self.encoded += len(contents)
        if found.ndim != 2 or len(found) != len(contents):
            raise FusionError(f"{self.spec}: embeddings of the shape {list(found.shape)} for {len(contents)} items")
        if self._rows.width not in (None, found.shape[1]):
            raise FusionError(
                f"{self.spec}: its embeddings ({what}) are {found.shape[1]} wide, those before {self._rows.width}: "
                "name a model that puts pictures and texts into one space"
            )
        self._rows.width = found.shape[1]
        return list(found.astype(np.float32, copy=False))

    def _fail(self, what: str, item: _Item, reason: str) -> None:
        self._reasons[item.digest] = reason
        self._say(f"{self.spec}: left out ({what}): {reason}")

    def _vectors(self, what: str, digests: Sequence[bytes]) -> Vectors:
        failed = np.array([digest in self._reasons for digest in digests], bool)
        distinct = len(set(digests))
        if failed.all() and distinct > 1:
            raise FusionError(
                f"{self.spec}: all {distinct:,} items ({what}) failed, such as {self._reasons[digests[0]]} "
                "(check the data by `fusionrs-build check`, the weights of the model and its precision)"
            )
        return Vectors(self._rows.get(digests), failed)


def _text_digest(text: str) -> bytes:
    key = f"text:{hashlib.sha256(text.encode()).hexdigest()}"
    return hashlib.sha256(key.encode()).digest()
