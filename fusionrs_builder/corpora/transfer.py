"""One published file from its addresses: each is asked again where that can help, then the next."""

import random
from pathlib import Path

from fusionrs_builder.corpora.address import Address
from fusionrs_builder.corpora.journal import Verified
from fusionrs_builder.corpora.part import CHUNK_BYTES, Meter, Part
from fusionrs_builder.corpora.remote import Interrupted, Unavailable, Wrong, scrub
from fusionrs_builder.corpora.sources import Sources, Stopped
from fusionrs_builder.errors import FusionError, UsageError

TRIES = 6
"""An address is asked so often in a row without a megabyte more than ever before."""

WRONG_TRIES = 3
"""An address may give another file so often."""

LOOK = "See in a browser what the address gives now: it may have moved, or ask for a login"

PAUSE_S, MAX_PAUSE_S = 1.0, 60.0
"""Before the second try, doubled for each further one, less up to a half by chance."""


def fetch_file(corpus: str, address: Address, parts: Path, sources: Sources, meter: Meter) -> tuple[Path, Verified]:
    """Get one file, from its mirrors where its publisher does not have it.

    Args:
        corpus: for messages.
        address: of the file.
        parts: folder of what is on its way.
        sources: opens addresses.
        meter: counts bytes.

    Returns:
        Where it lies, and its hashes.

    Raises:
        FusionError: no address gives it; the message says what each answered.
        Stopped: the work was given up elsewhere.
    """
    part = Part(parts, address, meter)
    said, fix = [], ""
    for url in (address.url, *address.mirrors):
        try:
            return part.path, _from(part, sources, url)
        except UsageError as error:
            raise UsageError(f"corpus {corpus}: {address.name} at {scrub(url)}: {error}") from None
        except Unavailable as error:
            said.append(f"{scrub(url)}: {error}")
            fix = fix or error.fix
    raise FusionError(
        f"corpus {corpus}: {address.name} cannot be fetched: {'; '.join(said)}. "
        + (fix or "Run the same command again later (what came is kept)")
        + f", or give a copy of the corpus with --from PATH (key corpora.{corpus}.from)"
    )


def _from(part: Part, sources: Sources, url: str) -> Verified:
    """The file from one address, which is asked again a number of times.

    Raises:
        Unavailable: it does not give the file.
    """
    tries = wrong = 0
    most = part.size
    while True:
        try:
            part.take(sources, url)
            return part.finished()
        except Interrupted as error:
            if isinstance(error, Wrong):
                part.discard()
                wrong += 1
            # By the most there ever was: a host that begins again and again has its end too.
            tries = 1 if part.size >= most + CHUNK_BYTES else tries + 1
            most = max(most, part.size)
            if tries >= TRIES or wrong >= WRONG_TRIES:
                fix = LOOK if isinstance(error, Wrong) else ""
                raise Unavailable(f"{error}, after {max(tries, wrong)} tries", fix) from None
            pause = min(MAX_PAUSE_S, PAUSE_S * 2 ** (tries - 1)) * random.uniform(0.5, 1.0)
            if sources.stop.wait(max(pause, error.after or 0.0)):
                raise Stopped from None
