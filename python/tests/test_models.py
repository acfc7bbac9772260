"""Whole jobs, against ONNX Runtime and the command."""
import pathlib
import subprocess
import threading

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_static

import narrow

COMMAND = pathlib.Path(__file__).parents[2] / "build" / "narrow"


def run_ort(model, x):
    source = model if isinstance(model, bytes) else str(model)
    return ort.InferenceSession(source, providers=["CPUExecutionProvider"]).run(None, {"x": x})[0]


def sqnr(want, got):
    return 10 * np.log10((want**2).sum() / ((want - got) ** 2).sum())


def test_quantize(model, data, tmp_path):
    want = run_ort(model, data)
    q = narrow.quantize(model, data[:32])
    assert sqnr(want, run_ort(q, data)) > 20
    narrow.quantize(model, data[:32], tmp_path / "q.onnx")
    assert (tmp_path / "q.onnx").read_bytes() == q


def test_calibration_data_of_all_kinds(model, data):
    want = narrow.quantize(model, data)
    assert narrow.quantize(str(model), (data,)) == want
    assert narrow.quantize(model.read_bytes(), {"x": data}) == want
    assert narrow.quantize(onnx.load(model), (data[i : i + 7] for i in range(0, 64, 7))) == want
    assert narrow.quantize(model, [(data[:40], np.zeros(40)), (data[40:], np.zeros(24))]) == want  # a loader with labels
    assert narrow.quantize(model, [{"x": data}]) == want


def test_same_bytes_as_the_command(model, tmp_path):
    x = np.random.default_rng(5).normal(size=(700, 3, 12, 12)).astype(np.float32)  # more than are kept
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "command.onnx"
    for options in {}, {"clip": "auto"}, {"shift": True, "equalize": False}:
        flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
        subprocess.run([COMMAND, "quantize", model, "--calib", tmp_path / "x.npy", "-o", out, *flags], check=True, stdout=subprocess.DEVNULL)
        assert narrow.quantize(model, (x[i : i + 1] for i in range(len(x))), **options) == out.read_bytes()
        assert narrow.quantize(model, x, **options) == out.read_bytes()


def test_quantizer(model, data, tmp_path):
    with narrow.Quantizer(model) as q:
        q.feed(data[:60])
        with pytest.raises(narrow.DataError, match="in the first batch"):
            q.feed(data[:, :, :-1])
        q.feed(data[60:])
        for name in "a.onnx", "b.onnx":
            q.finish(tmp_path / name)
            assert (tmp_path / name).read_bytes() == narrow.quantize(model, data)
        with pytest.raises(narrow.ArgumentError, match="finished"):
            q.feed(data)
    bad = data.copy()
    bad[3, 0, 0, 0] = np.nan
    with narrow.Quantizer(model) as q, pytest.raises(narrow.DataError, match="NaN"):
        while True:  # an error in a batch is raised by a later call
            q.feed(bad)
    narrow.Quantizer(model).feed(data)  # and left alone


def test_options(model, data):
    assert narrow.quantize(model, data, clip="max") != narrow.quantize(model, data, clip="sigma3")
    with pytest.raises(narrow.ArgumentError, match="unknown field"):
        narrow.quantize(model, data, clop="max")
    with pytest.raises(narrow.NarrowError, match='no node "nothing"'):
        narrow.quantize(model, data, exclude=["nothing"])


def test_formats(model, data):
    want = run_ort(model, data)
    for options in {"format": "qoperator"}, {"shift": True}, {"bits": {"conv2": (4, 8)}}, {"clip": "auto"}, {"compensate": False, "bias_correction": True}:
        assert sqnr(want, run_ort(narrow.quantize(model, data, **options), data)) > 12, options
    with pytest.raises(narrow.ArgumentError, match="format"):
        narrow.quantize(model, data, format="other")


def test_errors(model, data, tmp_path):
    with pytest.raises(narrow.FileError, match="no.onnx"):
        narrow.quantize(tmp_path / "no.onnx", data)
    with pytest.raises(narrow.NarrowError):
        narrow.quantize(b"nonsense", data)
    with pytest.raises(narrow.DataError, match="none was fed"):
        narrow.quantize(model, [])
    bad = data.copy()
    bad[3, 0, 0, 0] = np.inf
    with pytest.raises(narrow.NarrowError):
        narrow.quantize(model, bad, tmp_path / "q.onnx")
    assert not (tmp_path / "q.onnx").exists()


def test_session(model, data):
    s = narrow.Session(model)
    assert s.inputs == [{"name": "x", "dtype": 1, "shape": [-1, 3, 12, 12]}]
    want = run_ort(model, data)
    np.testing.assert_allclose(s.run(data)[0], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(s.run({"x": data[:3]})[0], want[:3], rtol=1e-4, atol=1e-5)
    with pytest.raises(narrow.DataError):
        s.run(data[:, :2])
    with pytest.raises(narrow.DataError):
        s.run()


def test_session_from_many_threads(model, data):
    s = narrow.Session(narrow.quantize(model, data))
    want = s.run(data)[0]
    wrong = []

    def work(i):
        for _ in range(20):
            if not (s.run(data[i : i + 4])[0] == want[i : i + 4]).all():
                wrong.append(i)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong


class Reader(CalibrationDataReader):
    def __init__(self, data):
        self.batches = iter({"x": data[i : i + 8]} for i in range(0, len(data), 8))

    def get_next(self):
        return next(self.batches, None)


@pytest.mark.parametrize("clip", ["max", "mse"])
def test_calibrator_of_onnxruntime(model, data, tmp_path, clip):
    import narrow.ort

    out = tmp_path / "q.onnx"
    with narrow.ort.calibrating(clip=clip):
        quantize_static(model, out, Reader(data), quant_format=QuantFormat.QDQ, per_channel=True)
    assert sqnr(run_ort(model, data), run_ort(out, data)) > 20


def test_calibrator_gives_minmax(model, data, tmp_path):
    from narrow.ort import Calibrater
    from onnxruntime.quantization.calibrate import create_calibrator

    usual = create_calibrator(str(model), augmented_model_path=str(tmp_path / "a.onnx"))
    usual.collect_data(Reader(data))
    c = Calibrater(str(model), augmented_model_path=str(tmp_path / "b.onnx"), clip="max")
    c.augment_graph()
    c.create_inference_session()
    c.collect_data(Reader(data))
    got = c.compute_data()
    for name, want in usual.compute_data().items():
        np.testing.assert_allclose(np.ravel(got[name].range_value), np.ravel(want.range_value), rtol=1e-6)
