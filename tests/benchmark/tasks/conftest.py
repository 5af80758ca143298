"""Results of a handful of images: what is to be counted by hand must be few."""

import pytest

from fusionrs_builder.benchmark import records
from fusionrs_builder.benchmark.tasks import captioning, classification, presence, retrieval


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (records, captioning, classification, retrieval):
        monkeypatch.setattr(module, "FEWEST", 1)
    monkeypatch.setattr(presence, "FEWEST_SHOWN", 1)
