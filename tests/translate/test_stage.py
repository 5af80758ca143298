import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

from fusionrs_builder import pixels, schema
from fusionrs_builder.engines.runner import Run
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.pipeline import translate
from fusionrs_builder.settings import TranslateSettings
from fusionrs_builder.stage import is_done, make
from fusionrs_builder.translate import checkpoint, stage
from fusionrs_builder.translate.quality import ir_quality
from fusionrs_builder.translate.stage import TranslateStage
from fusionrs_builder.translate.translator import load_translator
from fusionrs_builder.workspace import Workspace
from tests.translate.conftest import fill, record, scene, tiny


def translated(workspace, translator="gray", **options):
    """Run the stage on every shard; the rows of the ir layer."""
    settings = {key: options.pop(key) for key in list(options) if key in TranslateSettings.model_fields}
    run = TranslateStage(TranslateSettings(translator=str(translator), **settings), **options)
    run = pickle.loads(pickle.dumps(run))
    worker = run.open("cpu")
    rows = []
    for task in run.tasks(workspace):
        make(workspace, run, worker, task)
        assert is_done(workspace, run, task)
        rows += workspace.rows("ir", task.shard)
    return rows


def mixed():
    """Rows of all kinds: two sizes to translate, measured ones, refused ones."""
    jpeg = pixels.encode_jpeg(scene(40, 40, 9)[..., 0], quality=60)
    return [
        record("a b/1.tif", scene(32, 48, 1)),
        record("a b/2.tif", scene(32, 48, 2)),
        record("small", scene(20, 20, 3)),
        record("both", scene(40, 40, 4), scene(40, 40, 5)[..., 0], ir16={"bytes": b"deep", "path": "both_16.png"}),
        record("infrared only", None, scene(40, 40, 6)[..., 0]),
        record("neither"),
        record("broken", scene(20, 20, 7)) | {"rgb": {"bytes": b"\x89PNG\r\n", "path": "broken.png"}},
        record("as published", scene(40, 40, 8)) | {"ir": {"bytes": jpeg, "path": "x.jpg"}, "ir_band": "lwir"},
        record("last", scene(32, 48, 9)),
    ]


def test_every_row_has_its_answer_in_order(workspace):
    fill(workspace, mixed())
    rows = translated(workspace)
    assert [row["id"] for row in rows] == [row["id"] for row in mixed()]
    assert [row["ir_origin"] for row in rows] == (
        ["translated"] * 3 + ["measured"] * 2 + [None] * 2 + ["measured", "translated"]
    )
    assert workspace.footer("ir", "toy-00000").refused == {"no-image": 1, "unreadable": 1}
    assert all(set(row) == set(schema.arrow_schema("ir").names) for row in rows)


def test_a_measured_view_is_passed_through_untouched(workspace):
    fill(workspace, mixed())
    rows = {row["id"]: row for row in translated(workspace)}
    for given in mixed():
        if given["ir"] is None:
            continue
        row = rows[given["id"]]
        for name in ("ir", "ir16", "ir_band", "ir_source"):
            assert row[name] == given[name], name
        ir = pixels.gray_array(given["ir"]["bytes"])
        assert row["ir_sha256"] == pixels.pixel_sha256(ir)
        assert row["ir_phash"] == pixels.phash64(ir)
        rgb = pixels.rgb_array(given["rgb"]["bytes"]) if given["rgb"] else None
        assert row["ir_quality"] == pytest.approx(ir_quality(ir, rgb))
    assert rows["toy/infrared only"]["ir_quality"]["edge_agreement"] is None


def test_a_drawn_view_is_what_the_translator_draws(workspace, folder):
    fill(workspace, mixed()[:1])
    (row,) = translated(workspace, folder, ir_format="png")
    drawer = load_translator(str(folder))
    expected = drawer.translate(scene(32, 48, 1).transpose(2, 0, 1)[None])[0, 0]
    assert (pixels.gray_array(row["ir"]["bytes"]) == expected).all()
    assert row["ir"]["path"] == "a_b_1.tif.png"
    assert (row["ir_origin"], row["ir_band"], row["ir_source"]) == ("translated", "nir", drawer.source)
    assert row["ir_sha256"] == pixels.pixel_sha256(expected)
    assert row["ir16"] is None
    assert row["reason"] is None


def test_jpeg_is_one_channel_q95_and_hashed_as_decoded(workspace):
    fill(workspace, mixed()[:1])
    (row,) = translated(workspace)
    image = pixels.decode(row["ir"]["bytes"])
    assert (image.format, image.mode, image.size) == (None, "L", (48, 32))
    gray = np.asarray(Image.fromarray(scene(32, 48, 1)).convert("L"))
    assert row["ir"]["bytes"] == pixels.encode_jpeg(gray, quality=95)
    assert row["ir_sha256"] == pixels.pixel_sha256(np.asarray(image)) != pixels.pixel_sha256(gray)
    assert (row["ir_band"], row["ir_source"]) == (None, "gray")
    assert row["ir"]["path"].endswith(".jpg")


def test_refused_rows_say_why(workspace):
    fill(workspace, mixed()[5:7])
    none, broken = translated(workspace)
    assert none["reason"].startswith("no-image: ")
    assert broken["reason"].startswith("unreadable: rgb of toy/broken")
    for row in (none, broken):
        assert {name for name, value in row.items() if value is not None} == {"id", "reason"}


@pytest.mark.parametrize("options", [{"batch_size": 1}, {"batch_size": 3, "threads": 1}, {"threads": 4}])
def test_batches_and_threads_change_no_byte(tmp_path, folder, options):
    rows = [*mixed(), *(record(f"r{n}", scene(32, 48, n)) for n in range(20))]
    contents = []
    for name, chosen in (("one", {}), ("other", options)):
        workspace = Workspace.open(tmp_path / name, create=True)
        fill(workspace, rows)
        translated(workspace, folder, **chosen)
        contents.append(workspace.read_bytes("ir/toy-00000.parquet"))
    assert contents[0] == contents[1]


def test_images_of_one_size_share_a_batch(workspace, folder, monkeypatch):
    seen = []

    class Counting:
        band, source = "nir", "counting"

        def translate(self, rgb):
            seen.append(rgb.shape)
            return rgb[:, :1]

    monkeypatch.setattr(stage, "load_translator", lambda *_, **__: Counting())
    monkeypatch.setattr(stage, "BATCH_PIXELS", 5 * 32 * 48)
    fill(workspace, [record(f"r{n}", scene(32, 48, n)) for n in range(8)] + mixed()[2:3])
    translated(workspace, folder, batch_size=6)
    assert seen == [(5, 3, 32, 48), (3, 3, 32, 48), (1, 3, 20, 20)]
    seen.clear()
    translated(workspace, folder, batch_size=2)
    assert [shape[0] for shape in seen] == [2, 2, 2, 2, 1]


class Hungry:
    """Draws up to `most` images at once, and is out of memory beyond."""

    band, source = "nir", "hungry"

    def __init__(self, most, error):
        self.most, self.error, self.seen = most, error, []

    def translate(self, rgb):
        self.seen.append(len(rgb))
        if len(rgb) > self.most:
            raise self.error
        return rgb[:, :1]


OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: str(error)[:20])
def test_out_of_memory_makes_batches_smaller_once_and_says_so(workspace, monkeypatch, caplog, error):
    hungry = Hungry(2, error)
    monkeypatch.setattr(stage, "load_translator", lambda *_, **__: hungry)
    rows = [record(f"r{n}", scene(32, 48, n)) for n in range(40)]
    fill(workspace, rows, "toy-00000")
    fill(workspace, rows[:5], "toy-00001")
    made = translated(workspace, batch_size=8)
    assert [row["id"] for row in made] == [row["id"] for row in [*rows, *rows[:5]]]
    red = [pixels.rgb_array(row["rgb"]["bytes"])[..., 0] for row in rows]
    expected = [pixels.phash64(pixels.gray_array(pixels.encode_jpeg(image))) for image in red]
    assert [row["ir_phash"] for row in made] == [*expected, *expected[:5]]
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == ["out of memory at 8 images of 48 x 32 px: going on with 2 at once (--batch-size 2 starts so)"]
    assert sum(count > 2 for count in hungry.seen) <= 3, "batches that were under way are cut too"
    assert set(hungry.seen[-10:]) == {1, 2}


@pytest.mark.parametrize(("most", "size", "tried"), [(1, 8, 2), (0, 1, 1)])
def test_out_of_memory_again_is_an_error(workspace, monkeypatch, most, size, tried):
    monkeypatch.setattr(stage, "load_translator", lambda *_, **__: Hungry(most, OUT_OF_MEMORY[1]))
    fill(workspace, [record(f"r{n}", scene(32, 48, n)) for n in range(8)])
    words = rf"out of memory at {tried} images of 48 x 32 px \(from toy/r0\): CUDA out of memory.*free memory"
    with pytest.raises(FusionError, match=words):
        translated(workspace, batch_size=size)
    assert workspace.shards("ir") == []


def test_another_error_is_not_taken_for_want_of_memory(workspace, monkeypatch):
    monkeypatch.setattr(stage, "load_translator", lambda *_, **__: Hungry(0, RuntimeError("expected 3 channels")))
    fill(workspace, mixed()[:1])
    with pytest.raises(RuntimeError, match="expected 3 channels"):
        translated(workspace)


def test_every_device_gets_a_process_and_no_byte_changes(tmp_path, folder):
    contents = []
    for devices in ("cpu", "cpu,cpu"):
        workspace = Workspace.open(tmp_path / devices, create=True)
        for shard in range(3):
            fill(workspace, [record(f"{shard}-{n}", scene(32, 48, n)) for n in range(3)], f"toy-{shard:05d}")
        summary = translate(workspace, translator=str(folder), run=Run(device=devices))
        assert summary.made == 3
        contents.append([workspace.read_bytes(f"ir/toy-{shard:05d}.parquet") for shard in range(3)])
    assert contents[0] == contents[1]


def test_the_fingerprint_changes_with_what_changes_pixels_only(folder, tmp_path):
    def params(translator=folder, **rest):
        options = {key: rest.pop(key) for key in ("batch_size", "threads") if key in rest}
        return TranslateStage(TranslateSettings(translator=str(translator), **rest), **options).params()

    first = params()
    assert first == params(batch_size=5, threads=9)
    assert first != params(precision="bf16")
    assert first != params(ir_format="png")
    assert first != params(translator="gray")
    assert params(translator="gray") == params(translator="gray", precision="bf16")
    copy = checkpoint.save(tiny(), tmp_path / "elsewhere", "toy", "nir", "", {})
    assert first == params(translator=copy)
    checkpoint.save(tiny(seed=2), folder, "toy", "nir", "", {})
    assert first != params()
    before = params(translator=copy)
    config = copy / checkpoint.CONFIG
    config.write_text(config.read_text().replace("instance", "none"))
    assert before != params(translator=copy)


def test_a_wrong_translator_is_known_before_any_work(workspace, tmp_path):
    fill(workspace, mixed())
    with pytest.raises(UsageError, match="did you mean"):
        translated(workspace, "gray-inverse")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match=r"has no model\.safetensors"):
        translated(workspace, tmp_path / "empty")


def test_damaged_weights_end_the_shard_and_write_nothing(workspace, folder):
    fill(workspace, mixed())
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(FusionError, match="damaged"):
        translated(workspace, folder)
    assert workspace.shards("ir") == []


def test_measured_rows_never_pay_for_torch(workspace, folder):
    fill(workspace, [row for row in mixed() if row["ir"] is not None])
    code = (
        "import sys; from fusionrs_builder.workspace import Workspace; from fusionrs_builder.stage import make; "
        "from fusionrs_builder.settings import TranslateSettings as S; "
        "from fusionrs_builder.translate.stage import TranslateStage; "
        f"ws = Workspace.open({workspace.root!r}); st = TranslateStage(S(translator={str(folder)!r})); "
        "work = st.open('cpu'); [make(ws, st, work, task) for task in st.tasks(ws)]; "
        "assert ws.footer('ir', 'toy-00000').rows == 3; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_ahead_keeps_order_and_bounds_what_is_in_flight():
    taken, given = 0, 0
    lead = []

    def source():
        nonlocal taken
        for n in range(50):
            taken += 1
            lead.append(taken - given)
            yield n

    def work(n):
        time.sleep(0.002 * (n % 3))
        return n * n

    with ThreadPoolExecutor(4) as pool:
        for n, value in enumerate(stage.ahead(pool, work, source(), lambda n: 1, 7)):
            assert value == n * n
            given += 1
    assert given == 50
    assert max(lead) <= 9
    assert max(lead) > 4


def test_ahead_bounds_pixels_too(monkeypatch):
    monkeypatch.setattr(stage, "BATCH_PIXELS", 100)
    taken = []
    with ThreadPoolExecutor(2) as pool:
        stream = stage.ahead(pool, abs, (taken.append(n) or n for n in range(20)), lambda n: 150, 16)
        assert next(stream) == 0
        assert len(taken) <= 3
        assert list(stream) == list(range(1, 20))


def test_an_abandoned_run_leaves_no_thread(workspace):
    fill(workspace, [record(f"r{n}", scene(32, 48, n)) for n in range(40)])
    run = TranslateStage(TranslateSettings(translator="gray"), threads=3)
    rows = run.open("cpu")(workspace, run.tasks(workspace)[0])
    next(rows)
    rows.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("translate")]
