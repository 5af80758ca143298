"""Captions compared by their words, in one way throughout: by curation, by the benchmark, by training."""

import functools
import hashlib
import sys
import unicodedata


@functools.cache
def _punctuation() -> dict[int, None]:
    return {code: None for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)).startswith("P")}


def normalised(text: str) -> str:
    """A sentence as FusionRS compares it: Unicode NFKC, case folded, without punctuation, single spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_punctuation()).split())


def key(text: str) -> int:
    """64 bits of a sentence; two that are equal when normalised have one."""
    return int.from_bytes(hashlib.blake2b(normalised(text).encode(), digest_size=8).digest(), "big")
