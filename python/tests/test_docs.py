"""The Python of docs/python.md runs."""
import pathlib
import re

import numpy as np

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "python.md"


def test_page(model, data, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.S)
    assert blocks
    (tmp_path / "model.onnx").write_bytes(model.read_bytes())
    np.save(tmp_path / "calib.npy", data)
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), str(PAGE), "exec"), {})
    assert (tmp_path / "int8.onnx").exists()
