from collections.abc import Iterator
from pathlib import Path

import pytest

from fusionrs_builder.corpora import cog, signing
from tests.corpora.stac_server import StacServer


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[StacServer]:
    """A STAC API on loopback, for whose failures nobody waits."""
    monkeypatch.setattr(signing, "RETRY", signing.RETRY.new(backoff_factor=0, backoff_jitter=0))
    monkeypatch.setattr(cog, "PAUSE_S", 0.01)
    monkeypatch.setitem(cog.HTTP, "GDAL_HTTP_RETRY_DELAY", "0.01")
    with StacServer(tmp_path / "served").running() as running:
        yield running
