"""Opens an address of any kind."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from fusionrs_builder.corpora import hub
from fusionrs_builder.corpora.http import Web
from fusionrs_builder.corpora.remote import Stream, open_store
from fusionrs_builder.errors import UsageError


class Stopped(Exception):  # noqa: N818 - the work was given up elsewhere
    """Nobody waits for the file any more."""


class Sources:
    """Opens an address of any kind.

    Args:
        per_host: requests at a time.
    """

    def __init__(self, per_host: int) -> None:
        self.stop = threading.Event()
        self.web = Web(per_host, self.stop)

    def give_up(self) -> None:
        """Nobody waits for a file any more."""
        self.web.give_up()

    def close(self) -> None:
        self.web.close()

    @contextmanager
    def open(self, url: str, start: int, validator: str) -> Iterator[Stream]:
        """As `Web.open` and `open_store`."""
        scheme = urlsplit(url).scheme
        if scheme == "hf" and hub.is_offline():
            raise UsageError("HF_HUB_OFFLINE is set: unset it, or pass --from PATH")
        opened = self.web.open if scheme in ("http", "https", "hf") else open_store
        with opened(hub.resolved(url), start, validator) as stream:
            yield stream
