"""The Python of the pages in docs/ runs."""
import pathlib
import re

import numpy
import pytest

import narrow

ROOT = pathlib.Path(__file__).parents[2]


class Batch:
    """Stands for a tensor of PyTorch."""

    def __init__(self, x):
        self.x = x

    def numpy(self):
        return self.x


def run(page, names):
    """Runs the Python of a page, given what it expects to be there."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(), re.S)
    assert blocks
    exec(compile("\n".join(blocks), page, "exec"), names)
    return names


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_python(model, data, folder):
    (folder / "model.onnx").write_bytes(model.read_bytes())
    numpy.save("calib.npy", data)
    run("python.md", {})
    assert (folder / "int8.onnx").exists()


def test_onnxruntime(folder):
    pictures = numpy.random.default_rng(1).integers(0, 256, (32, 3, 24, 24), dtype=numpy.uint8)
    narrow.quantize(ROOT / "demo" / "shapes.onnx", pictures.astype("float32") / 255, "int8.onnx")
    scores, = run("onnxruntime.md", {"pictures": pictures})["scores"]
    assert scores.shape == (32, 10)


def test_data(data, folder):
    loader = [(Batch(data[i : i + 4]), None) for i in range(0, len(data), 4)]
    run("data.md", {"numpy": numpy, "loader": loader})
    assert numpy.array_equal(numpy.load("calib.npy"), data[:40])  # ten batches
