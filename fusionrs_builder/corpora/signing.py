"""Addresses that need a token to be read: it is had from an address of its own, and never leaves this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3.util import Retry

from fusionrs_builder.errors import FusionError

TIMEOUT_S = (20, 60)
"""To connect, and between two parts of an answer."""

RETRY = Retry(
    4, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None,
    raise_on_status=False,
)  # fmt: skip

LEFT = timedelta(minutes=5)
"""A token that expires sooner is not begun with."""

LOGGERS = ("rasterio._env", "rasterio._err", "rasterio._base", "rasterio._io")
"""Where GDAL's messages come out; those of a retry hold the address."""


def api() -> StacApiIO:
    """HTTP to a catalogue, with patience."""
    return StacApiIO(timeout=TIMEOUT_S, max_retries=RETRY)


def plain(href: str) -> str:
    """An address without its query, where secrets are."""
    return href.removeprefix("/vsicurl/").split("?", 1)[0]


def explain(error: Exception) -> str:
    """What a server answered: status and the beginning of its text."""
    status = getattr(error, "status_code", None)
    text = " ".join(str(error).split())[:200]
    return f"HTTP {status}: {text}" if status else text


class Signer:
    """Appends a token to addresses.

    Args:
        address: answers with `{"token": ..., "msft:expiry": ...}`; empty where none is needed.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._token = ""
        self._until: datetime | None = None
        self._spent: list[str] = []

    def sign(self, href: str) -> str:
        """The address with a token that is still good.

        Raises:
            FusionError: none can be had.
        """
        if not self.address:
            return href
        if not self._token or (self._until and datetime.now(UTC) + LEFT > self._until):
            self.renew()
        return f"{href}{'&' if '?' in href else '?'}{self._token}"

    def renew(self) -> None:
        """Get another token."""
        try:
            answer = api().read_json(self.address)
            token = str(answer["token"])
            expiry = answer.get("msft:expiry")
            self._until = datetime.fromisoformat(expiry) if expiry else None
        except (APIError, KeyError, TypeError, ValueError) as error:
            raise FusionError(f"no token from {plain(self.address)}: {self.hide(explain(error))}") from None
        self._token = token.lstrip("?")
        self._spent.append(self._token)

    def hide(self, text: str) -> str:
        """A text without any token."""
        for token in self._spent:
            text = text.replace(token, "(token)")
        return text

    @contextmanager
    def silenced(self) -> Iterator[None]:
        """Within, GDAL's messages are logged without tokens."""
        loggers = [logging.getLogger(name) for name in LOGGERS]
        for logger in loggers:
            logger.addFilter(self._hidden)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeFilter(self._hidden)

    def _hidden(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = self.hide(record.getMessage()), ()
        return True
