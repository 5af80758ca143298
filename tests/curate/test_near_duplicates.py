import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from fusionrs_builder import pixels
from fusionrs_builder.corpora.procedural import render
from fusionrs_builder.curate import groups, near_duplicates

Picture = NDArray[np.uint8]


def hashes_of(pictures: list[Picture]) -> groups.Keys:
    return np.array([pixels.described(picture)["phash16"] for picture in pictures], np.uint64)


def looks_of(pictures: list[Picture]) -> NDArray[np.uint8]:
    return np.array([np.frombuffer(pixels.look(picture), np.uint8) for picture in pictures])


def grouped(pictures: list[Picture], radius: int = 4) -> list[int]:
    looks = looks_of(pictures)
    links = near_duplicates.links(hashes_of(pictures), lambda some: looks[some], radius)
    return groups.connected(len(pictures), [links]).tolist()


def jpeg(picture: Picture, quality: int) -> Picture:
    sink = io.BytesIO()
    Image.fromarray(picture).save(sink, "JPEG", quality=quality)
    return np.asarray(Image.open(sink))


def resized(picture: Picture, scale: float) -> Picture:
    image = Image.fromarray(picture)
    size = round(image.width * scale), round(image.height * scale)
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS))


COPIES: dict[str, Callable[[Picture], Any]] = {
    "mirrored": lambda picture: picture[:, ::-1],
    "upside down": lambda picture: picture[::-1],
    "turned": np.rot90,
    "turned thrice": lambda picture: np.rot90(picture, 3),
    "transposed": lambda picture: picture.swapaxes(0, 1),
    "JPEG 60": lambda picture: jpeg(picture, 60),
    "half": lambda picture: resized(picture, 0.5),
    "larger": lambda picture: resized(picture, 1.4),
    "turned, smaller, JPEG 75": lambda picture: jpeg(resized(np.rot90(picture), 0.6), 75),
}


@pytest.fixture(scope="module")
def scenes() -> list[Picture]:
    return [render(seed).rgb for seed in range(40)]


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found_and_nothing_else(scenes: list[Picture], name: str) -> None:
    copies = [np.ascontiguousarray(COPIES[name](scene)) for scene in scenes]
    found = grouped([*scenes, *copies])
    assert found[: len(scenes)] == found[len(scenes) :]
    assert len(set(found)) == len(scenes)


@pytest.mark.parametrize("margin", [2, 3])
def test_nearly_all_cropped_copies_are_found_turned_or_not(scenes: list[Picture], margin: int) -> None:
    cropped = [np.ascontiguousarray(np.rot90(scene[margin:-margin, margin:-margin])) for scene in scenes]
    found = grouped([*scenes, *cropped])
    together = sum(one == other for one, other in zip(found[: len(scenes)], found[len(scenes) :], strict=True))
    assert together >= 0.95 * len(scenes)
    assert len(set(found)) == 2 * len(scenes) - together


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 8), st.integers(0, 2**32 - 1))
def test_every_pair_within_the_radius_is_a_candidate(radius: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**63, 30, np.uint64)
    flips = (random.random((300, 64)) < random.choice([0.02, 0.06, 0.1], (300, 1))).astype(np.uint64)
    upright = centres[random.integers(0, 30, 300)] ^ (flips << np.arange(64, dtype=np.uint64)).sum(axis=1)
    hashes = np.stack([upright, upright[::-1] ^ np.uint64(5)], axis=1)
    found = {tuple(row) for row in near_duplicates._candidates(hashes, radius).tolist()}
    distance = np.bitwise_count(hashes.T[:, :, None] ^ hashes[None, None, :, 0])
    turn, left, right = np.nonzero(distance <= radius)
    assert found == {(a, b, t) for t, a, b in zip(turn.tolist(), left.tolist(), right.tolist(), strict=True) if a != b}


def test_hashes_alone_do_not_link() -> None:
    """Two pictures of one hash whose looks differ, among copies of each."""
    random = np.random.default_rng(0)
    one, other = (random.integers(0, 256, 256, np.uint8) for _ in range(2))
    looks = np.array([one, other, one, other, one])
    hashes = np.full((5, 1), 77, np.uint64)
    links = near_duplicates.links(hashes, lambda some: looks[some], 4)
    found = groups.connected(5, [links])
    assert found.tolist() == [0, 1, 0, 1, 0]


def test_looks_are_asked_only_of_those_that_may_be_alike() -> None:
    random = np.random.default_rng(1)
    hashes = random.integers(0, 2**63, (1000, 8), np.uint64)
    hashes[7] = hashes[3]
    asked: list[int] = []

    def looks(some: groups.Numbers) -> NDArray[np.uint8]:
        asked.extend(some.tolist())
        return np.tile(np.arange(256, dtype=np.uint8), (len(some), 1))

    links = near_duplicates.links(hashes, looks, 4)
    assert {3, 7} <= set(asked)
    assert len(set(asked)) < 10
    assert groups.connected(1000, [links])[3] == groups.connected(1000, [links])[7]


def test_more_unlike_pictures_of_one_hash_than_are_compared_stay_together() -> None:
    """The side on which to err: what is not compared may be a copy."""
    count = near_duplicates.LEADERS + 20
    looks = np.random.default_rng(2).integers(0, 256, (count, 256), np.uint8)
    links = near_duplicates.links(np.full((count, 1), 5, np.uint64), lambda some: looks[some], 0)
    found = groups.connected(count, [links])
    assert len(set(found.tolist())) == near_duplicates.LEADERS + 1


def test_plain_pictures() -> None:
    sea = np.full((64, 64), 30, np.uint8) + np.random.default_rng(0).integers(0, 3, (64, 64), np.uint8)
    ship = sea.copy()
    ship[:8, :8] = 250
    assert near_duplicates.is_plain(looks_of([sea, ship, np.zeros((64, 64), np.uint8)])).all()
    assert not near_duplicates.is_plain(looks_of([render(0).rgb])).any()
    assert near_duplicates.is_plain(np.empty((0, 256), np.uint8)).shape == (0,)


def test_nothing_to_compare() -> None:
    assert near_duplicates.links(np.empty((0, 8), np.uint64), lambda some: some, 4).shape == (0, 2)
    one = np.array([[1]], np.uint64)
    assert near_duplicates.links(one, lambda some: np.zeros((len(some), 256), np.uint8), 4).shape == (0, 2)


def test_frames_of_one_scene_are_not_all_compared_with_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    agreeing = near_duplicates._agreeing

    def counted(pairs: groups.Numbers, looks: Callable[[groups.Numbers], Any]) -> NDArray[np.bool_]:
        compared.append(len(pairs))
        return agreeing(pairs, looks)

    monkeypatch.setattr(near_duplicates, "_agreeing", counted)
    hashes = np.arange(1 << 10, dtype=np.uint64)[:, None] << np.uint64(20)
    look = np.random.default_rng(3).integers(0, 256, 256, np.uint8)
    links = near_duplicates.links(hashes, lambda some: np.tile(look, (len(some), 1)), 4)
    assert set(groups.connected(len(hashes), [links]).tolist()) == {0}
    assert sum(compared) < 10 * len(hashes), "of 400 each that are within the radius"


def test_looks_are_read_once_however_many_unlike_pictures_have_one_hash() -> None:
    looks = np.random.default_rng(2).integers(0, 256, (50, 256), np.uint8)
    asked: list[int] = []

    def read(some: groups.Numbers) -> NDArray[np.uint8]:
        asked.append(len(some))
        return looks[some]

    near_duplicates.links(np.full((50, 1), 5, np.uint64), read, 4)
    assert asked == [50, 50]
