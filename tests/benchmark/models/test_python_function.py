import textwrap
from collections.abc import Callable
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fusionrs_builder.benchmark.models import python_function
from fusionrs_builder.benchmark.models.model import EmbeddingModel
from fusionrs_builder.errors import FusionError, UsageError
from tests.conftest import picture

PICTURES = [Image.fromarray(picture(seed)) for seed in range(3)]

MEANS = """
    import numpy as np

    class Means:
        name = "means"
        trained_on = ["eurosat"]
        identity = "weights 1"

        def encode_images(self, pictures):
            return np.array([np.asarray(picture).mean((0, 1)) for picture in pictures])

        def encode_texts(self, texts):
            return np.array([[len(text), text.count("a"), 1] for text in texts], np.float32)

    def make():
        return Means()
"""

numbers = count()


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Write a module into the current directory; returns its name, new each time: modules stay imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", __import__("sys").path.copy())

    def written(source: str) -> str:
        name = f"users_model_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source))
        return name

    return written


def made(body: str, write: Callable[[str], str]) -> EmbeddingModel:
    """A model whose `encode_images` has this body."""
    source = f"import numpy as np\nclass M:\n    def encode_images(self, pictures):\n        {body}\nmake = M\n"
    return python_function.model(f"{write(source)}:make")


def test_a_function_of_fifteen_lines(write: Callable[[str], str]):
    module = write(MEANS)
    found = python_function.model(f"{module}:make")
    assert (found.spec, found.name, found.trained_on) == (f"python:{module}:make", "means", ("eurosat",))
    encoders = found.open("cpu")
    images = encoders.images(PICTURES)
    assert np.allclose(images, [np.asarray(each).mean((0, 1)) for each in PICTURES]) and images.dtype == np.float32
    assert encoders.texts is not None and encoders.texts(["a", "banana"]).tolist() == [[1, 1, 1], [6, 3, 1]]


def test_names_and_texts_are_optional(write: Callable[[str], str]):
    found = made("return np.ones((len(pictures), 2))", write)
    assert found.name == found.spec.removeprefix("python:") and found.trained_on == ()
    assert found.open("cpu").texts is None


def test_the_identity_follows_the_file_and_what_the_object_says(write: Callable[[str], str]):
    other, again = MEANS.replace("means", "averages"), MEANS.replace("weights 1", "weights 2")
    names = [write(source) for source in (MEANS, MEANS, other, again)]
    told = [python_function.model(f"{name}:make").identity.replace(name, "module") for name in names]
    assert told[0] == told[1] and len(set(told)) == 3


def test_a_function_that_takes_a_device_is_called_for_it(write: Callable[[str], str]):
    module = write("""
        made_on = []
        class M:
            def encode_images(self, pictures): ...
        def make(device, size=3):
            made_on.append(device)
            return M()
    """)
    found = python_function.model(f"{module}:make")
    found.open("cpu")
    found.open("cuda:0")
    found.open("cuda:0")
    import importlib

    assert importlib.import_module(module).made_on == ["cpu", "cuda:0"]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "return np.ones(len(pictures))",
            r"float64 of the shape \[3\] for 3 items: return floats of the shape \[3, width\]",
        ),
        ("return np.ones((2, 4))", r"float64 of the shape \[2, 4\] for 3 items"),
        ("return np.ones((3, 4), int)", r"int64 of the shape \[3, 4\]"),
        ("return None", r"object of the shape \[\]"),
        ("return [[1.0], [1.0, 2.0]]", "ValueError"),
        ("raise KeyError('layer')", r"failed \(KeyError: 'layer'\); -v shows where"),
    ],
)
def test_what_it_returns_is_checked(body: str, message: str, write: Callable[[str], str]):
    found = made(body, write)
    with pytest.raises(FusionError, match=message) as caught:
        found.open("cpu").images(PICTURES)
    assert caught.value.exit_code == 1 and str(caught.value).startswith(found.spec)


def test_numbers_too_large_for_float32_are_left_to_be_failures(write: Callable[[str], str]):
    assert np.isinf(made("return np.full((3, 1), 1e300)", write).open("cpu").images(PICTURES)).all()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("make = 3", r"\.py\) has no function make"),
        ("def make(): return 3", r"returned a int without encode_images"),
        ("class make:\n  name = 3\n  def encode_images(self, pictures): ...", "`name` is a str"),
        (
            "class make:\n  trained_on = 'eurosat'\n  def encode_images(self, pictures): ...",
            "`trained_on` a list of str",
        ),
    ],
)
def test_a_wrong_function_is_a_wrong_call(source: str, message: str, write: Callable[[str], str]):
    with pytest.raises(UsageError, match=message):
        python_function.model(f"{write(source)}:make")


@pytest.mark.parametrize("rest", ["", "module", "module:", ":make"])
def test_a_spec_without_module_or_function(rest: str):
    with pytest.raises(UsageError, match="name a function as python:MODULE:FUNCTION"):
        python_function.model(rest)


def test_a_module_that_is_not_there_is_told_from_one_that_fails(write: Callable[[str], str]):
    with pytest.raises(UsageError, match=r"no module nowhere_at_all; run where nowhere_at_all\.py lies"):
        python_function.model("nowhere_at_all.sub:make")
    for source, message in (
        ("import nowhere_at_all", r"failed \(ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("def make(): raise OSError('no weights')", r"failed \(OSError: no weights\)"),
        ("def make(:", "SyntaxError"),
    ):
        with pytest.raises(FusionError, match=message) as caught:
            python_function.model(f"{write(source)}:make")
        assert caught.value.exit_code == 1
