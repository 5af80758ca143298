import pytest

from fusionrs_builder.caption import checks

GOOD = ["A dark infrared view with strong contrast.", "An infrared view, brighter on the left side."]


def test_good_captions_pass_everything() -> None:
    assert checks.faults(["Three red cars on a green field."], GOOD, "translated", "nir") == {}


@pytest.mark.parametrize(
    "words",
    ["heat", "hot", "hottest", "hotspot", "warm", "warmer", "cold", "cool", "coolest", "temperature", "thermal",
     "degrees", "Celsius", "emissivity", "emits", "radiance", "radiates", "reflectance", "reflects", "reflective",
     "material", "metal", "metallic", "conductive", "albedo", "glowing", "Warmth", "red-hot",
     "toasty", "blazing", "sizzling", "sun-baked", "scorching", "baking", "lukewarm", "hotter"],
)  # fmt: skip
def test_translated_views_carry_no_heat_and_no_physics(words: str) -> None:
    caption = f"The car looks {words} in this infrared view."
    assert "forbidden_words" in checks.faults([], [caption], "translated", "lwir")
    assert "forbidden_words" in checks.faults([], [caption], None, "lwir")
    assert "forbidden_words" in checks.faults([], [caption], "measured", "nir")


def test_measured_long_wave_may_be_warm_but_not_hot() -> None:
    for words in ("warm", "warmer", "cooler", "cool", "thermal"):
        assert not checks.forbidden(f"a {words} car", "measured", "lwir")
    for words in ("hot", "30 degrees", "temperature", "emissivity", "metal", "heat"):
        assert checks.forbidden(f"a {words} car", "measured", "lwir")


@pytest.mark.parametrize(
    "said", ["a 35 °C surface", "at 300 K", "95 F", "35 degrees", "-4.5 °C", "310K", "20℃", "near 35°", "40 deg", "88C"]
)
def test_no_view_is_read_in_degrees_or_kelvin(said: str) -> None:
    assert checks.forbidden(f"cars {said} near", "measured", "lwir")
    assert checks.forbidden(f"cars {said} near", "translated", "nir")


@pytest.mark.parametrize(
    "said",
    ["a 300 m wide", "4K", "a 4 K frame", "K", "plan C", "8K video", "45° N", "a 90° bend", "runway 27 C", "F-16",
     "300 km", "12 cars", "gate 12 C", "2 Fords", "300 Kites"],
)  # fmt: skip
def test_numbers_and_letters_are_no_temperatures(said: str) -> None:
    assert not checks.forbidden(f"cars {said} near", "measured", "lwir")


@pytest.mark.parametrize(
    "word",
    ["red", "Green", "blue", "yellow", "orange", "purple", "violet", "pink", "brown", "black", "white", "grey", "gray",
     "grayscale", "reddish", "greenish", "whiter", "blackened", "colour", "colorful", "hue", "beige", "red-roofed",
     "cyan", "magenta", "golden", "silver", "blue-green", "monocoloured blue"],
)  # fmt: skip
def test_infrared_captions_name_no_colour(word: str) -> None:
    caption = f"The car looks {word} in this view."
    assert "no_colour_in_ir" in checks.faults([], [caption], "measured", "lwir")
    assert "no_colour_in_ir" in checks.faults([caption], [], "measured", "lwir", scene_is_ir=True)
    assert checks.faults([caption], [], "measured", "lwir") == {}


@pytest.mark.parametrize(
    "word", ["infrared", "hotel", "greenhouse", "coolidge", "reduced", "hundred", "metre", "photo"]
)
def test_words_are_matched_whole(word: str) -> None:
    assert checks.may_say(word, "translated", None)


def test_length_and_uniqueness() -> None:
    assert set(checks.faults(["Too short."], [], None, None)) == {"length"}
    assert set(checks.faults(["word " * 41], [], None, None)) == {"length"}
    assert set(checks.faults(["A car on a road."], ["a car on A road."], None, None)) == {"unique"}
