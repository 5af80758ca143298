from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from fusionrs_builder.translate.card import translator_card
from fusionrs_builder.translate.checkpoint import Checkpoint
from fusionrs_builder.translate.domains import Source
from fusionrs_builder.translate.networks import GeneratorConfig
from fusionrs_builder.translate.recipe import TrainSettings

SOURCE = Source("naip", "CC-BY-4.0", "USDA.", "NAIP nir")


def text(
    sources: list[Source] | None = None,
    generator: dict[str, Any] | None = None,
    weights: dict[str, float] | None = None,
    pairs: int = 0,
    **recipe: Any,
) -> str:
    """The card of an untrained one; paragraphs on one line."""
    shape = asdict(GeneratorConfig()) | (generator or {})
    training = asdict(TrainSettings()) | {"records": {"visible": 9, "infrared": 8, "pairs": pairs, "validation": {}}}
    training |= recipe
    training["weights"] = training["weights"] | (weights or {})
    facts = {"training": training, "held_out": "none", "scores": {"n": 0}}
    found = Checkpoint(Path(), "mine", "nir", shape, "ab" * 32)
    return translator_card(found, facts, [SOURCE] if sources is None else sources, ["One camera\nonly."])


def test_strangers_text_breaks_nothing() -> None:
    evil = "# a\n- b | <i>c</i> [d](javascript:e) ```"
    line = next(line for line in text([Source(evil, evil, evil * 20, evil)]).splitlines() if line.startswith("- \\#"))
    assert line.count("javascript") == 23  # the attribution stands in full
    assert not set("<>|") & set(line)
    assert r"\`\`\`" in line and "](" not in line.replace(r"\](", "")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (SOURCE, "- naip (NAIP nir): CC-BY-4.0. USDA."),
        (Source("x", "MIT", "", ""), "- x: MIT."),
        (Source("x", "", "", "cam"), "- x (cam): licence not stated."),
    ],
)
def test_sources(source: Source, said: str) -> None:
    assert f"Sources:\n\n{said}\n\nHeld out: none.\n" in text([source])


def test_no_source() -> None:
    assert "Sources:\n\n- not stated\n" in text([])


@pytest.mark.parametrize(
    ("objective", "pairs", "weights", "said"),
    [
        (
            "cyclegan", 0, {"adversarial": 1, "cycle": 10, "views": 0},
            "Unpaired, both ways: CycleGAN; least-squares PatchGAN; weights of the losses: ",
        ),
        ("cut", 0, {"adversarial": 0, "views": 1}, "CUT (Park et al., ECCV 2020); a logistic judge of whole views"),
        (
            "cut", 0, {"adversarial": 0, "views": 1, "features": 0.5},
            "of the spectrum; weights of the losses: views 1, features 0.5",
        ),
        ("pix2pix", 5, {"adversarial": 1}, "Paired: pix2pix (Isola et al., CVPR 2017); least-squares PatchGAN; "),
        (
            "pix2pix", 5, {"adversarial": 0, "structure": 0.1, "correlation": 0.2},
            "L1 + 0.1 (1 - SSIM) + 0.2 (1 - SSIM's structure term of the whole crop); random crops",
        ),
        ("pix2pix", 5, {"adversarial": 0, "structure": 0, "correlation": 0}, "L1 + 0 (1 - SSIM) + 0 (1"),
    ],
)  # fmt: skip
def test_objectives(objective: str, pairs: int, weights: dict[str, float], said: str) -> None:
    found = " ".join(text(objective=objective, pairs=pairs, weights=weights).split())
    assert said in found
    assert (f"{pairs} of each used as pairs" if pairs else "none used as pairs") in found


@pytest.mark.parametrize("pairs", [0, 5])
def test_losses_are_told_where_they_took_part(pairs: int) -> None:
    found = text(pairs=pairs, weights={"paired": 7, "cycle": 2, "identity": 0, "nce": 3}).split("losses: ")[1]
    told = found.split(";")[0].split(", ")
    assert ("paired 7" in told) is bool(pairs)
    assert "cycle 2" in told
    assert not [loss for loss in told if loss.startswith(("identity", "nce"))]


def test_what_is_not_known_is_not_said() -> None:
    assert "It began with" not in text()
    assert "It began with the weights of `mine@0123456789ab`." in text(start="mine@0123456789ab")
    assert "It took" not in text()
    assert "It took 2 minutes." in text(seconds=125)


def test_how_the_weights_were_chosen() -> None:
    assert "those of the last step" in text()
    assert "step 3 of 4, the last of those that scored best (0.500) on" in text(validation=0.5, step=3, done=4)
    assert "(0.500, the mean of 3 validations) on" in text(validation=0.5, step=3, done=4, averaged=3)
    assert "**It failed: `cycle` is nan.** The weights are those before." in text(stopped="`cycle` is nan")


def test_parts_of_the_network() -> None:
    assert "a linear filter of 9 pixels" in text(generator={"tone": 9})
    assert "linear filter" not in text() and "expert" not in text()
    found = text(generator={"local": 8}, context="^naip", exposure=0.5, clouds=0.25)
    assert "an expert that sees 7 pixels; of 4 gates, the one that trusts the ResNet least" in found
    half = text(generator={"local": 8, "local_share": 0.5}, context="^naip")
    assert "an expert that sees 7 pixels, a share of 0.5 of what it adds to the luma drawn; of 4 gates" in half
    assert "learn nothing after" not in found
    assert "learn nothing after 15 steps" in text(generator={"local": 8}, context="^naip", local_steps=15)
    assert "whose key matches `^naip`" in found and "0.5 with less light and 0.25 under clouds" in found


def test_remarks_are_a_line_each() -> None:
    assert "\n- One camera only.\n\n## Configuration" in text()
