import numpy as np

from fusionrs_builder.benchmark.tasks.linear_probe import linear_probe
from tests.benchmark.conftest import Given, records, row

CLASSES = {"eurosat": ["Forest", "River", "SeaLake"]}


def split(count, name, spread, seed):
    """Records of two classes whose pictures lie about two points."""
    random = np.random.default_rng(seed)
    labels = ["Forest" if n % 2 else "River" for n in range(count)]
    of = records([row(f"{name}{n}", n, labels=[label]) for n, label in enumerate(labels)], name)
    centres = {"Forest": np.array([3.0, 1, 0, 0]), "River": np.array([0.0, 1, 3, 0])}
    views = {
        (f"eurosat/{name}{n}", view): (centres[label] + spread * random.standard_normal(4)).astype(np.float32)
        for n, label in enumerate(labels)
        for view in ("rgb", "infrared")
    }
    return of, Given(of, views, has_text=False)


def test_it_learns_what_can_be_told_and_never_names_a_class_it_did_not_see():
    test, source = split(20, "test", 0.1, 1)
    train, known = split(40, "train", 0.1, 2)
    results = list(linear_probe(test, source, train, known, ("infrared",), CLASSES))
    assert [(one.inputs, one.estimates["acc1"].value) for one in results] == [("rgb", 1.0), ("infrared", 1.0)]
    assert results[0].detail["absent"] == ["SeaLake"]
    assert results[0].task == "linear_probe"


def test_noise_tells_nothing():
    test, source = split(200, "test", 300.0, 1)
    train, known = split(40, "train", 300.0, 2)
    result = next(iter(linear_probe(test, source, train, known, ("infrared",), CLASSES)))
    assert 0.3 < result.estimates["acc1"].value < 0.7


def test_a_picture_that_failed_is_not_learnt_from():
    test, source = split(10, "test", 0.1, 1)
    train, known = split(20, "train", 0.1, 2)
    for n in range(0, 20, 4):  # turned about, they would teach the opposite
        known.known[f"eurosat/train{n}", "rgb"] = np.array([1e6, -1e6, 0, 0], np.float32)
        known.failing.add((f"eurosat/train{n}", "rgb"))
    assert next(iter(linear_probe(test, source, train, known, ("infrared",), CLASSES))).estimates["acc1"].value == 1


def test_a_corpus_that_train_does_not_have_is_left_out():
    test, source = split(4, "test", 0.1, 1)
    train = records([row("x", 1, corpus="naip", labels=["Forest"])], "train")
    assert not list(linear_probe(test, source, train, Given(train), ("infrared",), CLASSES))
