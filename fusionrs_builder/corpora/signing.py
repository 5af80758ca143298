"""Addresses that need a token to be read: it is had from an address of its own, and never leaves this process."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from pystac_client.exceptions import APIError
from pystac_client.stac_api_io import StacApiIO
from urllib3.util import Retry

from fusionrs_builder.corpora.remote import scrub, scrubbed
from fusionrs_builder.errors import FusionError

TIMEOUT_S = (20, 60)
"""To connect, and between two parts of an answer."""

RETRY = Retry(
    4, backoff_factor=0.5, backoff_jitter=0.5, status_forcelist=(429, 500, 502, 503, 504), allowed_methods=None,
    raise_on_status=False,
)  # fmt: skip

LEFT = timedelta(minutes=5)
"""A token that expires sooner is not begun with."""

LOGGERS = (
    "rasterio._env", "rasterio._err", "rasterio._base", "rasterio._io", "urllib3.connectionpool", "urllib3.util.retry",
)  # fmt: skip
"""Where the messages of GDAL and of requests come out; those of a retry hold the address."""

# It logs whole requests, with the names and passwords some of them carry.
logging.getLogger("pystac_client.stac_api_io").setLevel(logging.INFO)


def api() -> StacApiIO:
    """HTTP to a catalogue, with patience."""
    return StacApiIO(timeout=TIMEOUT_S, max_retries=RETRY)


def plain(href: str) -> str:
    """An address as it may be shown, whether GDAL writes it or others."""
    return scrub(href.removeprefix("/vsicurl/"))


def explain(error: Exception) -> str:
    """What a server answered: status and the beginning of its text."""
    status = getattr(error, "status_code", None)
    text = scrubbed(str(error))[:300]
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
            raise FusionError(f"no token from {plain(self.address)}: {explain(error)}") from None
        self._token = token.lstrip("?")


@contextmanager
def discreet() -> Iterator[None]:
    """Within, addresses are logged without secrets."""
    loggers = [logging.getLogger(name) for name in LOGGERS]
    for logger in loggers:
        logger.addFilter(_scrub)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeFilter(_scrub)


def _scrub(record: logging.LogRecord) -> bool:
    record.msg, record.args = scrubbed(record.getMessage()), ()
    return True
