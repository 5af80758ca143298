import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate.domains import COLUMNS, Kept, Source, Store, records
from tests.translate.conftest import fill, record, scene


def test_a_workspace_gives_what_was_measured_in_the_band(workspace):
    ir = scene(20, 24)[..., 0]
    rows = [
        record("both", scene(20, 24), ir),
        record("thermal", None, ir, ir_band="lwir"),
        record("plain", scene(20, 24)),
    ]
    fill(workspace, rows)
    found = {r.key: (r.rgb is not None, r.ir is not None) for r in records(workspace.root, "nir", "visible")}
    assert found == {"toy/both": (True, True), "toy/thermal": (False, False), "toy/plain": (True, False)}
    assert {r.source for r in records(workspace.root, "nir", "infrared")} >= {
        Source("toy", "CC0-1.0", "Nobody", "toy-sensor nir")
    }


def release(folder, **columns):
    rows = []
    for n, origin in enumerate(("measured", "translated")):
        image = {"bytes": pixels.encode_png(scene(20, 24, n)), "path": "a.png"}
        texts = dict.fromkeys(COLUMNS, "x") | {
            "corpus": "c",
            "corpus_key": str(n),
            "ir_band": "nir",
            "ir_origin": origin,
        }
        rows.append(texts | {"rgb": image, "ir": image} | columns)
    (folder / "data").mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "train-00000-of-00001.parquet")
    return folder


def test_a_release_gives_no_drawn_view_as_infrared(tmp_path):
    found = list(records(str(release(tmp_path / "release")), "nir", "infrared"))
    assert [(r.key, r.rgb is not None, r.ir is not None) for r in found] == [("c/0", True, True), ("c/1", True, False)]


def test_a_folder_gives_its_images_by_their_paths(tmp_path):
    for name in ("a/1.png", "a/2.PNG", "b.jpg", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(pixels.encode_png(scene(16, 16)))
    found = list(records(str(tmp_path), "lwir", "infrared"))
    assert [r.key for r in found] == [f"{tmp_path.name}/{name}" for name in ("a/1", "a/2", "b")]
    assert all(r.rgb is None and r.ir is not None for r in found)


def test_what_is_no_place_is_refused(tmp_path):
    with pytest.raises(UsageError, match="is no folder: name a folder of images, a workspace, a release"):
        list(records(str(tmp_path / "none"), "nir", "visible"))
    with pytest.raises(UsageError, match="holds no image .* and no Parquet file"):
        list(records(str(tmp_path), "nir", "visible"))
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(UsageError, match=r"other.parquet lacks the columns .*ir_origin"):
        list(records(str(tmp_path), "nir", "visible"))
    (tmp_path / "other.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(FusionError, match=r"other.parquet cannot be read"):
        list(records(str(tmp_path), "nir", "visible"))


def test_the_store_gives_back_what_it_was_given(tmp_path):
    store, file = Store(), tmp_path / "a.png"
    file.write_bytes(pixels.encode_png(scene(16, 16)))
    kept = [store.keep(b"one"), store.keep(file), store.keep(b""), store.keep(b"three")]
    assert [store.bytes(each) for each in kept] == [b"one", file.read_bytes(), b"", b"three"]
    assert (store.visible(kept[1], "k") == scene(16, 16)).all()


def test_what_is_no_infrared_image_says_so(tmp_path):
    store = Store()
    colour = store.keep(pixels.encode_png(scene(16, 16)))
    with pytest.raises(FusionError, match="record k: an infrared image whose channels differ"):
        store.infrared(colour, "k")
    gray = np.repeat(scene(16, 16)[..., :1], 3, axis=-1)
    assert (store.infrared(store.keep(pixels.encode_png(gray)), "k") == gray[..., 0]).all()
    (tmp_path / "cut.png").write_bytes(pixels.encode_png(gray)[:-40])
    with pytest.raises(FusionError, match=r"cut.png: the image is damaged"):
        store.visible(store.keep(tmp_path / "cut.png"), "k")
    with pytest.raises(FusionError, match=r"gone.png cannot be read"):
        store.bytes(Kept(tmp_path / "gone.png"))


def test_an_image_is_decoded_once_while_there_is_room_for_it(tmp_path, monkeypatch):
    monkeypatch.setattr("fusionrs_builder.translate.domains.DECODED_BYTES", 2 * 16 * 16 * 3)
    store, files = Store(), [tmp_path / f"{n}.png" for n in range(3)]
    for file in files:
        file.write_bytes(pixels.encode_png(scene(16, 16)))
    kept = [store.keep(file) for file in files]
    first = store.visible(kept[0], "k")
    assert store.visible(kept[0], "k") is first
    for each in kept:
        store.visible(each, "k")
    assert store.visible(kept[0], "k") is not first, "the one not used for longest made room"
