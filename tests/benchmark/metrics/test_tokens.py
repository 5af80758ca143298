import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fusionrs_builder.benchmark.metrics import tokens
from fusionrs_builder.benchmark.metrics.bleu import bleu
from fusionrs_builder.benchmark.metrics.captions import Captions
from fusionrs_builder.benchmark.metrics.cider import cider_d
from fusionrs_builder.benchmark.metrics.meteor import meteor_exact
from fusionrs_builder.benchmark.metrics.rouge import rouge_l
from fusionrs_builder.benchmark.metrics.tokens import DROPPED, tokenise

from .captioned import NAMES, fixture


@pytest.mark.parametrize("name", NAMES)
def test_as_the_java_tool(name: str) -> None:
    stored = fixture(name)
    read = [[tokenise(caption) for caption in captions] for captions in stored["captions"]]
    assert sum(map(len, read)) > 1000
    assert read == stored["tokens"]


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("Two red cars, parked.", "two red cars parked"),
        ("The ship's hull isn't visible -- or is it?", "the ship 's hull is n't visible or is it"),
        ("It’s the ships’ harbour; we can't see it", "it 's the ships harbour we ca n't see it"),
        ('A "quoted" word and (one) in [brackets]', "a quoted word and -lrb- one -rrb- in -lsb- brackets -rsb-"),
        ("a well-known T-junction, and/or x-ray", "a well-known t-junction and/or x-ray"),
        ("10-20m wide, 0.5m high, 5m deep", "10-20m wide 0.5 m high 5m deep"),
        ("1,000 trees at 10:30, 50% of £3", "1,000 trees at 10:30 50 % of # 3"),
        ("25°C, 3m² and 4×4 µm", "25 ° c 3m ² and 4 × 4 µm"),
        ("Near the U.S. embassy in St. Louis, approx. 5 km.", "near the u.s. embassy in st. louis approx 5 km"),
        ("no. 5 and No. five", "no. 5 and no five"),
        ("It is 6 m. The car", "it is 6 m the car"),
        ("It is 6 m. Cars", "it is 6 m. cars"),
        ("Portland, Ore. and iron ore.", "portland ore. and iron ore"),
        ("1 1/2 storeys", "1\u00a01/2 storeys"),
        ("we cannot, 'tis gonna", "we can not 't is gon na"),
        ("AT&T but a&b", "at&t but a & b"),
        ("wow!! really?!", "wow !! really ?!"),
        ("café — naïve … 日本", "café naïve 日本"),
        ("a🚀b <b>bold</b> &amp; #tag @user", "a b <b> bold </b> & #tag @user"),
        ("see www.example.com or http://example.com/a.", "see www.example.com or http://example.com/a"),
        ("soft\u00adhyphen", "softhyphen"),
        ("two\nlines\u2028of text", "two lines of text"),
        ("... -- '' \"", ""),
        ("", ""),
    ],
)
def test_captions_are_split_as_the_java_tool_was_seen_to(caption: str, words: str) -> None:
    assert tokenise(caption) == words


@given(st.text())
@example("6 m. A\x85<a\u2029b>1 1/2")
def test_any_text_is_words_with_one_space_between(caption: str) -> None:
    words = tokenise(caption).split(" ")
    assert words == [""] or not DROPPED.intersection(words)
    assert not any(word.isspace() for word in words)


@given(
    st.lists(
        st.sampled_from(["cars", "don't", "0.5m", "(a)", "B&W", "end.", "x-ray,", "ship’s", "'90s", "é"]), min_size=1
    )
)
def test_a_caption_is_split_alike_by_stretches_and_as_a_whole(pieces: list[str]) -> None:
    caption = " ".join(pieces)
    assert tokenise(caption) == tokens._words(caption)


def test_ten_thousand_captions_a_second_are_split_and_scored() -> None:
    captions = fixture("written")["captions"] * 5
    rates = []
    for _ in range(3):
        tokens._cached_words.cache_clear()
        start = time.process_time()
        split = {str(image): [tokenise(caption) for caption in told] for image, told in enumerate(captions)}
        scored = Captions({image: told[0] for image, told in split.items()}, {i: told[1:] for i, told in split.items()})
        for metric in (bleu, rouge_l, cider_d, meteor_exact):
            metric(scored)
        rates.append(sum(map(len, captions)) / (time.process_time() - start))
    assert max(rates) > 10_000
