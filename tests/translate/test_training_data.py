from collections import Counter

import numpy as np
import pytest

from fusionrs_builder import pixels
from fusionrs_builder.errors import FusionError, UsageError
from fusionrs_builder.translate import training_data
from fusionrs_builder.translate.domains import Kept
from fusionrs_builder.translate.training_data import Domain, Entry, check, read
from tests.translate.conftest import fill, record, scene


def pictures(folder, names, gray=False):
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(names):
        image = scene(24, 24, seed)
        (folder / f"{name}.png").write_bytes(pixels.encode_png(image[..., 0] if gray else image))
    return str(folder)


def counts(data):
    return len(data.visible), len(data.infrared), len(data.pairs)


def test_pairs_are_used_as_pairs_only_where_asked_and_halves_are_learnt_from_too(workspace):
    both = [record(f"b{n}", scene(24, 24, n), scene(24, 24, n)[..., 0]) for n in range(4)]
    fill(workspace, [*both, record("plain", scene(24, 24)), record("only", None, scene(24, 24)[..., 0])])
    place = [workspace.root]
    assert counts(read(place, place, "nir", paired=False)) == (5, 5, 0)
    data = read(place, place, "nir", paired=True)
    assert counts(data) == (5, 5, 4)
    (entry,) = (entry for entry in data.pairs.all() if entry.key == "toy/b2")
    pair = training_data.decoded(data.store, entry)
    assert (pair.rgb == scene(24, 24, 2)).all()
    assert (pair.ir == scene(24, 24, 2)[..., 0]).all()
    assert counts(read(place, place, "lwir", paired=False)) == (5, 0, 0)


def test_files_of_one_path_below_two_folders_are_pairs(tmp_path):
    visible, infrared = pictures(tmp_path / "v", "abcx"), pictures(tmp_path / "i", "abcy", gray=True)
    assert counts(read([visible], [infrared], "lwir", paired=False)) == (4, 4, 0)
    data = read([visible], [infrared], "lwir", paired=True)
    assert counts(data) == (4, 4, 3)
    assert sorted(entry.key for entry in data.pairs.all()) == ["v/a", "v/b", "v/c"]


def test_held_out_records_are_neither_learnt_from_nor_chosen_by(workspace):
    fill(workspace, [record(f"d{n % 3}/{n}", scene(24, 24, n), scene(24, 24, n)[..., 0]) for n in range(60)])
    data = read([workspace.root], [workspace.root], "nir", paired=True, hold_out="/d1/")
    held = {entry.key for entry in data.held_out.entries}
    chosen = {entry.key for entry in data.checks["pairs"]}
    learnt = {entry.key for domain in (data.visible, data.infrared, data.pairs) for entry in domain.all()}
    assert held == {f"toy/d1/{n}" for n in range(1, 60, 3)}
    assert 0 < len(chosen) < 12
    assert not held & learnt
    assert not held & chosen
    assert not chosen & learnt
    assert len(learnt | chosen | held) == 60
    assert data.held_out[0].key in held


def test_few_records_are_all_learnt_from(workspace):
    fill(workspace, [record(str(n), scene(24, 24, n), scene(24, 24, n)[..., 0]) for n in range(9)])
    data = read([workspace.root], [workspace.root], "nir", paired=True)
    assert counts(data) == (9, 9, 9)
    assert data.checks == {"visible": [], "infrared": [], "pairs": []}


def test_a_corpus_is_drawn_by_the_root_of_its_size():
    domain = Domain()
    for n in range(16):
        domain.add("large", Entry(f"large/{n}", Kept(None, 0, 1000), None))
    domain.add("small", Entry("small/0", Kept(None, 0, 600), Kept(None, 0, 400)))
    rng = np.random.default_rng(0)
    drawn = Counter(domain.draw(rng).key.partition("/")[0] for _ in range(1000))
    assert 160 < drawn["small"] < 240  # 1 of 1 + 4


def test_what_is_too_little_is_said(tmp_path):
    visible, infrared = pictures(tmp_path / "v", "abc"), pictures(tmp_path / "i", "d", gray=True)
    data = read([visible], [infrared], "lwir", paired=False)
    with pytest.raises(UsageError, match=r"a single image in the infrared \(lwir\) domain"):
        check(data, "lwir", False, [visible, infrared])
    with pytest.raises(UsageError, match="no pairs of RGB and measured lwir"):
        check(data, "lwir", True, [visible, infrared])
    with pytest.raises(UsageError, match="no image in the visible domain"):
        check(read([infrared], [infrared], "lwir", False, hold_out="."), "lwir", False, [infrared])
    with pytest.raises(UsageError, match="is not a regular expression"):
        read([visible], [infrared], "lwir", False, hold_out="(")


def test_a_pair_of_two_sizes_is_refused(workspace):
    fill(workspace, [record("odd", scene(24, 24), scene(24, 20)[..., 0])])
    data = read([workspace.root], [workspace.root], "nir", paired=True)
    with pytest.raises(FusionError, match="record toy/odd: rgb 24x24, ir 20x24 pixels: a pair must be of one size"):
        training_data.decoded(data.store, data.pairs.all()[0])


def test_its_key_tells_data_apart(workspace, tmp_path):
    visible, infrared = pictures(tmp_path / "v", "abc"), pictures(tmp_path / "i", "de", gray=True)
    key = read([visible], [infrared], "lwir", paired=False).key()
    assert key == read([visible], [infrared], "lwir", paired=False).key()
    pictures(tmp_path / "i", "def", gray=True)
    assert key != read([visible], [infrared], "lwir", paired=False).key()


def test_folders_of_one_name_are_neither_merged_nor_pairs(tmp_path):
    a, b, c = (pictures(tmp_path / name / "images", "ab", gray=name == "c") for name in "abc")
    with pytest.raises(UsageError, match=r"two visible images are named images/a: .*a/images/a.png and .*b/im"):
        read([a, b], [c], "lwir", paired=False)
    data = read([a], [c], "lwir", paired=False, hold_out="images/b")
    assert (counts(data), len(data.held_out)) == ((1, 1, 0), 0)


def test_a_partner_that_is_not_certain_is_asked_for(tmp_path):
    visible = [pictures(tmp_path / name, "ab") for name in ("day1", "day2")]
    infrared = [pictures(tmp_path / name, "ab", gray=True) for name in ("ir1", "ir2")]
    with pytest.raises(UsageError, match="two visible images of one path, day1/a and day2/a: which is the partner"):
        read(visible, infrared, "lwir", paired=True)


def test_records_of_two_corpora_are_no_pairs_by_their_keys(workspace):
    rows = [record("1", scene(24, 24)), record("1", None, scene(24, 24)[..., 0], id="other/1", corpus="other")]
    fill(workspace, rows)
    assert counts(read([workspace.root], [workspace.root], "nir", paired=True)) == (1, 1, 0)


def test_few_pairs_are_not_validated_by_through_their_halves(workspace):
    rows = [record(f"b{n}", scene(24, 24, n), scene(24, 24, n)[..., 0]) for n in range(6)]
    fill(workspace, [*rows, *(record(f"v{n}", scene(24, 24, n)) for n in range(60))])
    data = read([workspace.root], [workspace.root], "nir", paired=True)
    kept = {entry.key for entries in data.checks.values() for entry in entries}
    assert len(data.pairs) == 6
    assert kept
    assert not kept & {entry.key for domain in (data.visible, data.infrared, data.pairs) for entry in domain.all()}


def test_a_pattern_that_matches_nothing_is_refused(tmp_path):
    visible, infrared = pictures(tmp_path / "v", "abc"), pictures(tmp_path / "i", "de", gray=True)
    with pytest.raises(UsageError, match="no record has a key that matches 'nomatch'"):
        read([visible], [infrared], "lwir", paired=False, hold_out="nomatch")
