import pytest

from fusionrs_builder.corpora import registry
from fusionrs_builder.corpora.band_orders import ORDERS, bands_of, numbers_of
from fusionrs_builder.errors import UsageError
from fusionrs_builder.settings import CorpusSettings


@pytest.mark.parametrize(
    ("name", "place", "count"),
    [("eurosat", 13, 13), ("sen12ms", 9, 13), ("mmearth", 8, 13), ("sentinel2-l1c", 9, 13), ("sentinel2-l2a", 9, 12)],
)
def test_the_narrow_infrared_of_sentinel2_wanders(name: str, place: int, count: int) -> None:
    bands = ORDERS[name].bands.split()
    assert (bands.index("B8A") + 1, len(bands)) == (place, count)
    assert bands_of(name)["nir"] == bands.index("B8") + 1, "the infrared of 10 m, not B8A"


def test_where_the_traps_lie() -> None:
    assert bands_of("eurosat") == {"blue": 2, "green": 3, "red": 4, "nir": 8, "swir": 11}
    assert bands_of("sen12ms")["swir"] == 12
    assert bands_of("mmearth")["nir"] == 9
    assert bands_of("treesatai") == {"nir": 1, "green": 2, "blue": 3, "red": 4}
    assert bands_of("cir") == {"nir": 1, "red": 2, "green": 3}
    assert bands_of("so2sat") == {"blue": 1, "green": 2, "red": 3, "nir": 7, "swir": 9}
    assert bands_of("flair") == {"red": 1, "green": 2, "blue": 3, "nir": 4, "elevation": 5}
    assert bands_of("ssl4eo-l")["lwir"] == bands_of("landsat8-toa")["lwir"] == 10


@pytest.mark.parametrize("name", ORDERS)
def test_an_order_names_each_band_once_and_says_by_whom(name: str) -> None:
    order = ORDERS[name]
    assert len(set(order.bands.split())) == len(order.bands.split())
    assert set(order.colours.values()) <= set(order.bands.split())
    assert order.source
    assert {"red", "green"} < set(bands_of(name))


def test_every_order_that_the_registry_names_is_known() -> None:
    named = {entry.settings.band_order for name in registry.names() if (entry := registry.entry(name))} - {""}
    assert named
    for name in named:
        bands_of(name)


def test_an_unknown_order_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no order 'eurosta'.* eurosat, .*treesatai"):
        bands_of("eurosta")


def test_bands_go_over_the_order() -> None:
    settings = CorpusSettings.model_validate({"band_order": "eurosat", "bands": {"nir": "13", "cloud": "2"}})
    assert numbers_of(settings) == {"blue": 2, "green": 3, "red": 4, "nir": 13, "swir": 11, "cloud": 2}
    with pytest.raises(UsageError, match="or the name of a published order"):
        numbers_of(CorpusSettings())
