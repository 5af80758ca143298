import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from fusionrs_builder.benchmark import embedding_cache, encoding
from fusionrs_builder.benchmark.encoding import Encoded
from fusionrs_builder.benchmark.models.model import EmbeddingModel, Encoders
from fusionrs_builder.benchmark.records import Records
from fusionrs_builder.errors import FusionError

from .conftest import records, row


class Model:
    """Embeds by means of pixels and lengths of words; counts what it is given, and fails as it is told."""

    def __init__(self, width: int = 3, text: bool = True, wrong: dict[int, float] | None = None) -> None:
        self.width, self.text, self.wrong = width, text, wrong or {}
        self.opened, self.batches, self.said = 0, list[int](), list[str]()
        self.stop_at: int | None = None

    def images(self, pictures: Sequence[Image.Image]) -> Any:
        before = sum(self.batches)
        if self.stop_at is not None and before >= self.stop_at:
            raise RuntimeError("killed")
        self.batches.append(len(pictures))
        rows = np.array([np.asarray(picture).mean((0, 1)) for picture in pictures])
        for at, value in self.wrong.items():
            if 0 <= at - before < len(pictures):
                rows[at - before] = value
        return np.pad(rows, ((0, 0), (0, self.width - 3)))

    def texts(self, texts: Sequence[str]) -> Any:
        self.said += texts
        return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32)

    def open(self, device: str) -> Encoders:
        assert device == "cpu"
        self.opened += 1
        return Encoders(self.images, self.texts if self.text else None)

    def over(
        self, of: Records, cache: Path | None, say: Callable[[str], None] = lambda line: None, **more: Any
    ) -> Encoded:
        given = {"spec": "test:model", "name": "model", "pretrained": "some", "identity": "model 1", **more}
        return Encoded(EmbeddingModel(open=self.open, **given), of, cache, "cpu", say)


def many(count: int) -> Records:
    return records([row(f"{n:03d}", n) for n in range(count)])


@pytest.fixture(scope="module")
def seventy() -> Records:
    return many(70)


def means(of: Records, places: Sequence[int], view: Any = "rgb") -> Any:
    return np.array([np.asarray(of.picture(place, view)).mean((0, 1)) for place in places], np.float32)


def files(cache: Path) -> list[Path]:
    return sorted(cache.glob("*/*.npz"))


def test_rows_are_in_the_order_asked_for_and_a_second_run_opens_no_model(seventy: Records, tmp_path: Path):
    first, places = Model(), [5, 69, 0, 33, 5]
    source = first.over(seventy, tmp_path / "cache")
    source.views("rgb", range(70))
    assert first.batches == [32, 32, 6] and source.encoded == 70 and source.seconds > 0
    found = source.views("rgb", places)
    assert np.allclose(found.embeddings, means(seventy, places)) and found.embeddings.dtype == np.float32
    assert not found.failed.any() and found.failed.shape == (5,)
    texts = source.texts(["banana", "a", "banana"])
    assert texts is not None and texts.embeddings.tolist() == [[6, 3, 1], [1, 1, 1], [6, 3, 1]]
    assert first.said == ["banana", "a"] and first.opened == 1

    second = Model()
    again = second.over(seventy, tmp_path / "cache")
    assert (again.views("rgb", places).embeddings == found.embeddings).all()
    told = again.texts(["a", "banana"])
    assert told is not None and told.embeddings.tolist() == [[1, 1, 1], [6, 3, 1]]
    assert (second.opened, again.encoded, again.seconds) == (0, 0, 0)
    again.texts(["new"])
    assert second.opened == 1 and second.said == ["new"]


def test_another_identity_shares_nothing(seventy: Records, tmp_path: Path):
    Model().over(seventy, tmp_path).views("rgb", [0])
    other = Model()
    other.over(seventy, tmp_path, identity="model 2").views("rgb", [0])
    assert other.batches == [1]
    folders = {hashlib.sha256(f"model {n} cpu".encode()).hexdigest(): f"model {n}" for n in (1, 2)}
    told = {path.parent.name: json.loads(path.read_text()) for path in tmp_path.glob("*/model.json")}
    assert {name: facts["identity"] for name, facts in told.items()} == folders
    assert {facts["spec"] for facts in told.values()} == {"test:model"}


def test_equal_pixels_are_embedded_once_and_views_apart(tmp_path: Path):
    of = records([row("a", 1), row("b", 2), row("c", 1), row("d", 3, rgb=False)])
    model = Model()
    source = model.over(of, tmp_path)
    found = source.views("rgb", [0, 1, 2])
    assert model.batches == [2] and (found.embeddings[0] == found.embeddings[2]).all()
    for view in ("infrared", "gray", "gray-inverted"):
        assert np.allclose(source.views(view, [2, 1]).embeddings, means(of, [2, 1], view))
    assert sum(model.batches) == 2 + 3 * 2
    with pytest.raises(FusionError, match="eurosat/d has no gray view in fusionrs"):
        source.views("gray", [0, 3])


def test_what_was_written_is_there_after_the_model_stopped(seventy: Records, tmp_path: Path):
    stopped = Model()
    stopped.stop_at = 64
    with pytest.raises(RuntimeError, match="killed"):
        stopped.over(seventy, tmp_path).views("rgb", range(70))
    after = Model()
    found = after.over(seventy, tmp_path).views("rgb", range(70))
    assert after.batches == [6] and np.allclose(found.embeddings, means(seventy, range(70)))


def test_a_kill_loses_no_more_than_is_held(seventy: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_cache, "FLUSH_ROWS", 10)
    model, seen = Model(), list[int]()
    read = model.images

    def images(pictures: Sequence[Image.Image]) -> Any:
        seen.append(sum(len(embedding_cache.read(path)[0]) for path in files(tmp_path)))
        return read(pictures)

    monkeypatch.setattr(model, "images", images)
    model.over(seventy, tmp_path).views("rgb", range(70))
    assert seen == [0, 30, 60] and not list(tmp_path.glob("*/.tmp-*"))


def test_a_slow_model_writes_by_the_clock(seventy: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(embedding_cache, "FLUSH_S", 0)
    Model().over(seventy, tmp_path).views("rgb", range(3))
    assert len(files(tmp_path)) == 3


def test_rows_that_are_no_embedding_are_counted_told_once_and_tried_again_in_the_next_run(
    seventy: Records, tmp_path: Path
):
    lines: list[str] = []
    model = Model(wrong={3: np.nan, 40: np.inf, 41: 0})
    source = model.over(seventy, tmp_path, lines.append)
    for _ in range(2):
        found = source.views("rgb", range(70))
        assert np.flatnonzero(found.failed).tolist() == [3, 40, 41]
        assert (found.embeddings[found.failed] == 0).all()
    assert lines == [
        "test:model: left out (rgb): eurosat/003: its embedding is not finite",
        "test:model: left out (rgb): eurosat/040: its embedding is not finite",
        "test:model: left out (rgb): eurosat/041: its embedding is of length 0",
    ]
    assert source.encoded == 70
    assert source.views("rgb", [3]).failed.tolist() == [True]  # one alone is no sign of a broken model
    after = Model()
    assert not after.over(seventy, tmp_path).views("rgb", range(70)).failed.any() and after.batches == [3]


def test_a_picture_that_cannot_be_decoded_never_reaches_the_model(tmp_path: Path):
    rows = [row("a", 1), row("b", 2), row("c", 3)]
    rows[1]["rgb"] = {"bytes": b"no picture", "path": None}
    lines: list[str] = []
    source = Model().over(records(rows), tmp_path, lines.append)
    found = source.views("rgb", [0, 1, 2])
    assert found.failed.tolist() == [False, True, False] and source.encoded == 2
    assert len(lines) == 1 and "eurosat/b: its rgb view cannot be read" in lines[0]
    assert not source.views("infrared", [0, 1, 2]).failed.any()
    alone = source.views("gray", [1])
    assert alone.failed.tolist() == [True] and alone.embeddings.tolist() == [[0, 0, 0]]


def test_a_model_that_fails_on_everything_is_broken(seventy: Records, tmp_path: Path):
    model = Model(wrong=dict.fromkeys(range(70), np.nan))
    source = model.over(seventy, tmp_path)
    for _ in range(2):
        with pytest.raises(
            FusionError, match=r"all 5 items \(rgb\) failed, such as eurosat/000: .*not finite.*precision"
        ):
            source.views("rgb", range(5))
    assert not files(tmp_path)


def test_widths_that_differ(seventy: Records, tmp_path: Path):
    source = Model(width=5).over(seventy, tmp_path)
    source.views("rgb", range(3))
    with pytest.raises(FusionError, match=r"its embeddings \(text\) are 3 wide, those before 5"):
        source.texts(["a", "b"])
    with pytest.raises(FusionError, match=r"\(text\) are 3 wide, those before 5"):  # from the cache, too
        Model(width=5).over(seventy, tmp_path).texts(["a"])


def test_rows_that_are_missing(seventy: Records, monkeypatch: pytest.MonkeyPatch):
    model = Model()
    monkeypatch.setattr(model, "images", lambda pictures: np.ones((1, 3), np.float32))
    with pytest.raises(FusionError, match=r"embeddings of the shape \[1, 3\] for 4 items"):
        model.over(seventy, None).views("rgb", range(4))


def test_a_model_without_text_is_not_opened_again_to_learn_that(seventy: Records, tmp_path: Path):
    model = Model(text=False)
    source = model.over(seventy, tmp_path)
    assert source.texts(["a"]) is None and source.texts([]) is None and model.opened == 1
    second = Model(text=False)
    assert second.over(seventy, tmp_path).texts(["a"]) is None and second.opened == 0


@pytest.mark.parametrize(("cached", "cache"), [(False, True), (True, False)])
def test_nothing_is_written_where_nothing_is_to_be_kept(seventy: Records, tmp_path: Path, cached: bool, cache: bool):
    model = Model()
    source = model.over(seventy, tmp_path / "cache" if cache else None, cached=cached)
    for _ in range(2):
        assert np.allclose(source.views("rgb", range(70)).embeddings, means(seventy, range(70)))
    assert model.batches == [32, 32, 6] and not list(tmp_path.iterdir())


def test_nothing_asked_for_nothing_opened(seventy: Records, tmp_path: Path):
    model = Model()
    source = model.over(seventy, tmp_path)
    assert source.views("rgb", []).embeddings.shape == (0, 0) and source.texts([]) is not None and not model.opened


def test_two_runs_at_once_lose_nothing(seventy: Records, tmp_path: Path):
    first, second, third = Model(), Model(), Model()
    sources = [model.over(seventy, tmp_path) for model in (first, second)]
    sources[0].views("rgb", range(40))
    sources[1].views("rgb", range(20, 70))
    sources[0].views("rgb", range(70))
    assert sum(first.batches) == 70 and sum(second.batches) == 50
    assert np.allclose(third.over(seventy, tmp_path).views("rgb", range(70)).embeddings, means(seventy, range(70)))
    assert not third.opened


def test_pictures_are_decoded_a_bounded_number_ahead(monkeypatch: pytest.MonkeyPatch):
    of, model, started, most = many(200), Model(), 0, 0
    decode, embed = of.picture, model.images

    def picture(place: int, view: Any) -> Image.Image:
        nonlocal started
        started += 1
        return decode(place, view)

    def images(pictures: Sequence[Image.Image]) -> Any:
        nonlocal most
        most = max(most, started - sum(model.batches))
        return embed(pictures)

    monkeypatch.setattr(of, "picture", picture)
    monkeypatch.setattr(model, "images", images)
    model.over(of, None).views("rgb", range(200))
    assert 32 <= most <= encoding.BATCH + encoding.AHEAD and started == 200


def test_a_cache_that_cannot_be_made(seventy: Records, tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(FusionError, match="cannot be kept in .*: name another cache folder"):
        Model().over(seventy, tmp_path / "file")


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def flipped(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[data.index(b"vectors.npy") + 200] ^= 1
    path.write_bytes(data)


def rewritten(**arrays: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with np.load(path) as file:
            found = {name: file[name] for name in file.files}
        np.savez(path, **{**found, **{name: change(found[name]) for name, change in arrays.items()}})

    return write


@pytest.mark.parametrize(
    "harm",
    [
        truncated, emptied, flipped,
        rewritten(vectors=lambda rows: rows.astype(object)),
        rewritten(vectors=lambda rows: rows.astype(np.float64)),
        rewritten(vectors=lambda rows: rows[:-1]),
        rewritten(vectors=lambda rows: rows[:, 0]),
        rewritten(vectors=lambda rows: rows * np.nan),
        rewritten(vectors=lambda rows: rows * 0),
        rewritten(keys=lambda keys: keys[:, :16]),
    ],
)  # fmt: skip
def test_a_damaged_file_is_set_aside_and_made_again(harm: Any, seventy: Records, tmp_path: Path):
    Model().over(seventy, tmp_path).views("rgb", range(40))
    Model().over(seventy, tmp_path).views("rgb", range(70))
    name = hashlib.sha256(seventy[0].key("rgb").encode()).digest()
    hurt = next(path for path in files(tmp_path) if name in embedding_cache.read(path)[0].tobytes())
    harm(hurt)
    lines: list[str] = []
    model = Model()
    source = model.over(seventy, tmp_path, lines.append)
    assert np.allclose(source.views("rgb", range(70)).embeddings, means(seventy, range(70)))
    assert sum(model.batches) == 40 and len(lines) == 1 and f"{hurt} is damaged" in lines[0]
    assert hurt.with_name(f"{hurt.name}.damaged").exists() and hurt.exists()
    last = Model()
    last.over(seventy, tmp_path, lines.append).views("rgb", range(70))
    assert not last.opened and len(lines) == 1


def test_a_file_of_another_width_is_set_aside(seventy: Records, tmp_path: Path):
    Model().over(seventy, tmp_path).views("rgb", range(40))
    (whole,) = files(tmp_path)
    other = whole.with_name("zzz.npz")
    np.savez(other, keys=np.ones((2, 32), np.uint8), vectors=np.ones((2, 7), np.float32))
    lines: list[str] = []
    assert Model().over(seventy, tmp_path, lines.append).views("rgb", [0]).embeddings.shape == (1, 3)
    assert len(lines) == 1 and "its rows are 7 wide, those of others 3" in lines[0] and not other.exists()


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_flipped_bit_alters_an_embedding(at: int, bit: int, seventy: Records, tmp_path_factory: Any):
    cache = tmp_path_factory.mktemp("cache")
    expected = Model().over(seventy, cache).views("rgb", range(8)).embeddings
    (path,) = files(cache)
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)
    assert (Model().over(seventy, cache).views("rgb", range(8)).embeddings == expected).all()


def test_a_file_that_goes_while_it_is_in_use(seventy: Records, tmp_path: Path):
    source = Model().over(seventy, tmp_path)
    source.views("rgb", range(3))
    files(tmp_path)[0].unlink()
    with pytest.raises(FusionError, match="was there and cannot be read now .*: run again"):
        source.views("rgb", range(3))


@pytest.mark.parametrize("damaged", ["{", "[]", ""])
def test_damaged_facts_are_written_again(damaged: str, seventy: Records, tmp_path: Path):
    Model().over(seventy, tmp_path).views("rgb", [0])
    (facts,) = tmp_path.glob("*/model.json")
    facts.write_text(damaged)
    Model().over(seventy, tmp_path).views("rgb", [1])
    assert json.loads(facts.read_text())["takes_text"] is True
