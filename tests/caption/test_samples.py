"""Captions of the real sample images: true to the annotation files, varied, and within the rules."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from fusionrs_builder import pixels
from fusionrs_builder.caption import checks
from fusionrs_builder.caption.facts import Record
from fusionrs_builder.caption.grounded import Captions, Writer
from fusionrs_builder.caption.language import counted, humanise

from .scenes import box
from .test_grounded import COLOURS, HEAT, assert_grammar, words

MOST_COMMON_SHARE = 0.03
"""No single caption may be a larger share of all of its kind."""


def hit_uav(folder: Path) -> Iterator[tuple[Record, Counter[str], bytes]]:
    root = folder / "hit-uav" / "normal_xml"
    for xml in sorted((root / "Annotations").glob("*.xml"))[::2]:
        found = [
            box(
                item.findtext("name") or "",
                *(float(item.findtext(f"bndbox/{side}") or 0) for side in ("xmin", "ymin", "xmax", "ymax")),
            )
            for item in ElementTree.parse(xml).iter("object")
        ]
        names = Counter(each["label"] for each in found if each["label"] != "DontCare")
        record = Record(f"hit-uav/{xml.stem}", sorted(names), found, origin="measured", band="lwir")
        yield record, names, (root / "JPEGImages" / f"{xml.stem}.jpg").read_bytes()


def assert_varied(written: list[Captions]) -> None:
    for kind in ("scene", "ir"):
        texts = Counter(text for captions in written for text in getattr(captions, kind))
        assert max(texts.values()) <= MOST_COMMON_SHARE * texts.total(), texts.most_common(3)


def test_thermal_frames_with_boxes(samples: Path) -> None:
    writer, written = Writer(0), []
    for record, names, data in hit_uav(samples):
        captions = writer.write(record, None, pixels.gray_array(data))
        written.append(captions)
        for text in (*captions.scene, *captions.ir):
            assert_grammar(text)
            assert checks.may_say(text, "measured", "lwir"), text
            assert "don" not in words([text])
        kinds = [counted(n, humanise(label)) for label, n in names.items() if label != "OtherVehicle"]
        assert all(kind in captions.scene[0].lower() for kind in kinds)
    assert len(written) > 200
    assert_varied(written)
    everything = words(text for captions in written for text in captions.ir)
    assert {"warmer", "cooler", "brighter", "darker"} <= everything


def test_people_are_bright_in_thermal_frames(samples: Path) -> None:
    """White-hot polarity: what is said of people must be warm far more often than cool."""
    told: Counter[str] = Counter()
    for record, _, data in hit_uav(samples):
        captions = Writer(0).write(record, None, pixels.gray_array(data))
        for text in captions.ir:
            if match := re.search(r"(?:people|person)\b.*? (brighter|darker|warmer|cooler) than", text):
                told[match[1]] += 1
    assert told["brighter"] + told["warmer"] > 8 * (told["darker"] + told["cooler"])
    assert min(told["brighter"], told["warmer"]) > 10


@pytest.mark.parametrize("band", [None, "nir"])
def test_scenes_without_boxes(samples: Path, band: str | None) -> None:
    files = sorted((samples / "s2-eotdl").rglob("EuroSAT-RGB-small/*/*.jpg"))
    files += sorted((samples / "oam-buildings-hotosm").rglob("data/*/*.png"))[::10]
    if len(files) < 200:
        pytest.skip("EuroSAT and OAM samples are not at hand")
    writer, written = Writer(0), []
    for file in files:
        data = file.read_bytes()
        labels = [file.parent.name] if "EuroSAT" in str(file) else []
        rgb, ir = pixels.rgb_array(data), pixels.gray_array(data)
        captions = writer.write(Record(f"c/{file.stem}", labels, origin="translated", band=band), rgb, ir)
        written.append(captions)
        for text in (*captions.scene, *captions.ir):
            assert_grammar(text)
        assert not words(captions.ir) & set(f"{COLOURS} {HEAT}".split())
    assert_varied(written)
    assert_varied([captions for captions, file in zip(written, files, strict=True) if "EuroSAT" not in str(file)])


def test_most_bare_of_all(samples: Path) -> None:
    """Plain water, no labels: the hardest frames to tell apart."""
    files = sorted((samples / "s2-eotdl").rglob("EuroSAT-RGB-small/SeaLake/*.jpg"))
    if not files:
        pytest.skip("EuroSAT is not at hand")
    images = [pixels.rgb_array(file.read_bytes()) for file in files]
    written = [
        Writer(0).write(Record(f"c/{i}", origin="translated"), rgb, np.ascontiguousarray(rgb[..., 1]))
        for i, rgb in enumerate(images * 20)
    ]
    assert_varied(written)
