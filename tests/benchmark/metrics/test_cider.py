import math

import numpy as np
import pytest

from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import DocumentFrequencies, cider_d, document_frequencies
from fusionrs_builder.errors import FusionError

from .captioned import NAMES, assert_equal, captions, of


@pytest.mark.parametrize("name", NAMES)
def test_as_pycocoevalcap(name: str) -> None:
    assert_equal(cider_d(captions(name)), name, "CIDEr-D")


def test_by_hand() -> None:
    scores = cider_d(of(["a b", "a b"], ["a c", "a d e"]))
    # `a` stands in both images and weighs nothing, so the second has no match; the first has no trigram.
    assert scores.images == pytest.approx([10 * 2 / 4, 0])
    assert scores.corpus == pytest.approx(2.5)


def test_matches_are_clipped_and_length_is_paid_for() -> None:
    scores = cider_d(of(["x x x", "x"], ["y", "y"]))
    assert scores.images[0] == pytest.approx(10 / 4 * (1 / 3) * math.exp(-(2**2) / (2 * 6**2)))


def test_one_image_has_nothing_to_tell_its_words_from() -> None:
    assert cider_d(of(["a b", "a b", "a b c"])).corpus == 0


def test_empty_captions() -> None:
    assert cider_d(of(["", "a b"], ["a b", ""], ["", ""])).images.tolist() == [0, 0, 0]


def test_a_part_is_scored_by_the_weights_of_all() -> None:
    everything = captions("written")
    frequencies = document_frequencies(everything)
    assert frequencies.images == 200
    assert frequencies.counts["in"] > frequencies.counts["in this"] > 1
    chosen = [3, 50, 120, 199]
    part = Captions(
        {everything.ids[image]: everything.candidates[image] for image in chosen},
        {everything.ids[image]: everything.references[image] for image in chosen},
    )
    assert np.allclose(cider_d(part, frequencies).images, cider_d(everything).images[chosen])
    assert not np.allclose(cider_d(part).images, cider_d(everything).images[chosen])


@pytest.mark.parametrize(
    "frequencies",
    [DocumentFrequencies(2, {"a": 1, "a b": 3}), DocumentFrequencies(0, {}), DocumentFrequencies(0, {"a b": 1})],
)
def test_counts_that_cannot_be(frequencies: DocumentFrequencies) -> None:
    with pytest.raises(FusionError, match=rf"document frequencies of {frequencies.images} images"):
        cider_d(of(["a b", "a b"]), frequencies)
