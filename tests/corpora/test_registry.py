from pathlib import Path

import pytest

from fusionrs_builder.config import CorpusSettings
from fusionrs_builder.corpora import formats, registry


@pytest.mark.parametrize("name", registry.names())
def test_every_entry_is_complete(name: str) -> None:
    entry = registry.entry(name)
    assert entry is not None
    settings = entry.settings
    assert entry.title
    assert settings.format in formats.NAMES
    assert settings.license
    assert settings.attribution
    assert settings.source_url
    assert settings.source_revision


SAMPLED = [name for name in registry.names() if (entry := registry.entry(name)) and entry.samples]


@pytest.mark.parametrize("name", SAMPLED)
def test_the_samples_hold_what_the_entry_says(name: str, samples: Path) -> None:
    entry = registry.entry(name)
    assert entry is not None
    assert entry.samples is not None
    found = formats.reader(samples / entry.samples.folder, entry.settings, name)
    assert len([item for item in found.items() if not item.fault]) == entry.samples.records


def test_given_settings_go_over_the_entry() -> None:
    given = CorpusSettings.model_validate({"from": "/x", "tile": 128})
    settings = registry.resolve("naip-opengeos", given)
    assert (settings.tile, settings.source, settings.format) == (128, "/x", "geotiff")
    assert registry.resolve("unknown", given) == given
    assert registry.entry("unknown") is None
