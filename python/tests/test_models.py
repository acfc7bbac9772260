"""Whole jobs, against ONNX Runtime and the command."""
import pathlib
import subprocess
import threading

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper
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
    assert sqnr(want, run_ort(q.model, data)) > 20
    assert q.sqnr > 20 and q.nodes_quantized > 4 and q.held_back and q.path is None and q.report is None and "float network" in q.verdict
    narrow.quantize(model, data[:32], tmp_path / "q.onnx")
    assert (tmp_path / "q.onnx").read_bytes() == q.model == bytes(q)
    q.save(tmp_path / "r.onnx")
    assert (tmp_path / "r.onnx").read_bytes() == q.model


class Tensor:
    """Stands for a tensor of PyTorch on a device, with a gradient."""

    def __init__(self, x):
        self.x, self.dtype = x, "torch.float32"

    def detach(self):
        return self

    def cpu(self):
        return self

    def numpy(self):
        return self.x


def test_calibration_data_of_all_kinds(model, data):
    want = narrow.quantize(model, data).model
    for same in (
        (data,),
        {"x": data},
        (data[i : i + 7] for i in range(0, 64, 7)),
        list(data),  # single inputs
        [row.tolist() for row in data],
        [(data[:40], np.zeros(40)), (data[40:], np.zeros(24))],  # a loader with labels
        [{"x": data}],
        [(Tensor(data[i : i + 16]), Tensor(np.zeros(16))) for i in range(0, 64, 16)],
        data.astype(">f4"),
        np.asfortranarray(data),
    ):
        assert narrow.quantize(model, same).model == want
    assert narrow.quantize(model.read_bytes(), data).model == want
    assert narrow.quantize(onnx.load(model), data).model == want


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "int32", "int64", "float16", "float64", "bool"])
def test_calibration_data_of_all_types(model, data, dtype):
    x = (np.abs(data) * 3).astype(dtype)
    assert narrow.quantize(model, x).model == narrow.quantize(model, x.astype(np.float32)).model
    assert narrow.quantize(model, iter(x)).model == narrow.quantize(model, x.astype(np.float32)).model


def test_rows_of_pandas(tmp_path):
    pandas = pytest.importorskip("pandas")
    w = numpy_helper.from_array(np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32), "w")
    g = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"], name="fc")], "net",
                          [helper.make_tensor_value_info("x", 1, ["N", 6])], [helper.make_tensor_value_info("y", 1, ["N", 3])], [w])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    frame = pandas.DataFrame(np.random.default_rng(4).normal(size=(100, 6)), columns=list("abcdef"))
    assert narrow.quantize(tmp_path / "m.onnx", frame).model == narrow.quantize(tmp_path / "m.onnx", frame.to_numpy()).model


def test_scalar_inputs(tmp_path):
    """A model with an input without a batch, which is one number for all."""
    w = numpy_helper.from_array(np.random.default_rng(3).normal(size=(6, 3)).astype(np.float32), "w")
    nodes = [helper.make_node("Mul", ["x", "gain"], ["m"], name="mul"), helper.make_node("MatMul", ["m", "w"], ["y"], name="fc")]
    g = helper.make_graph(nodes, "net", [helper.make_tensor_value_info("x", 1, ["N", 6]), helper.make_tensor_value_info("gain", 1, [])],
                          [helper.make_tensor_value_info("y", 1, ["N", 3])], [w])
    onnx.save(helper.make_model(g, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), tmp_path / "m.onnx")
    x = np.random.default_rng(4).normal(size=(40, 6)).astype(np.float32)
    assert narrow.quantize(tmp_path / "m.onnx", {"x": x, "gain": np.float32(2)}).sqnr > 20
    assert narrow.quantize(tmp_path / "m.onnx", (x, np.array(2, np.float32))).sqnr > 20


def test_measuring(model, data, tmp_path):
    q = narrow.quantize(model, data, tmp_path / "q.onnx", report=True, test=data[:8], exclude=["conv2"], weight_bits=6)
    assert list(q.reasons) and "conv2" in q.reasons and q.nodes_float == len(q.reasons)
    assert "unseen inputs" in q.report and "<iframe" in q._repr_html_() and "<script" not in q._repr_html_()
    assert "<iframe" not in narrow.quantize(model, data)._repr_html_()
    labels = run_ort(model, data).argmax(1)
    e = narrow.evaluate(q.model, data, labels=labels, against=model)
    assert e.count == 64 and e.top1 == e.agreement > 80 and abs(e.sqnr - q.sqnr) < 6
    assert narrow.evaluate(model, data, against=model).identical
    tensors = narrow.compare(model, tmp_path / "q.onnx", data)
    assert tensors and all("sqnr_db" in t for t in tensors)
    costs = narrow.sensitivity(model, data)
    assert costs[0]["sqnr_db"] <= costs[-1]["sqnr_db"] and {"conv1", "conv2"} & {c["name"] for c in costs}
    t = narrow.target(model, data, 35, weight_bits=5)
    assert t.sqnr >= 35 and t.search["front"]
    with pytest.raises(narrow.NarrowError, match="cannot be met|good enough"):
        narrow.quantize(model, data, min_sqnr=200)
    assert narrow.inspect(model)["inputs"] == [{"name": "x", "type": "float32", "shape": [-1, 3, 12, 12]}]
    assert narrow.quantize(model, weights_only=True, weight_bits=4).nodes_quantized > 0


def test_dropin(model, data, tmp_path):
    """quantize_static with onnxruntime's own arguments."""
    from onnxruntime.quantization import CalibrationMethod, QuantType
    import inspect
    import narrow.onnxruntime as dropin

    theirs, ours = inspect.signature(quantize_static).parameters, inspect.signature(dropin.quantize_static).parameters
    assert list(ours) == list(theirs)
    want = run_ort(model, data)
    r = dropin.quantize_static(str(model), tmp_path / "q.onnx", Reader(data), QuantFormat.QDQ, per_channel=True, activation_type=QuantType.QUInt8,
                               calibrate_method=CalibrationMethod.Entropy, nodes_to_exclude=["fc"], extra_options={"ActivationSymmetric": True})
    assert sqnr(want, run_ort(tmp_path / "q.onnx", data)) > 20 and "fc" in r.reasons
    r = dropin.quantize_static(onnx.load(model), tmp_path / "q.onnx", Reader(data), op_types_to_quantize=["Conv", "Relu"])
    assert "fc" in r.reasons and "conv1" not in r.reasons
    r = dropin.quantize_static(model, tmp_path / "q.onnx", Reader(data), nodes_to_quantize=["conv1"])
    assert "conv2" in r.reasons and "conv1" not in r.reasons
    for wrong, named in ({"weight_type": QuantType.QUInt8}, "weight_type"), ({"extra_options": {"SmoothQuant": True}}, "SmoothQuant"):
        with pytest.raises(narrow.ArgumentError, match=named):
            dropin.quantize_static(model, tmp_path / "q.onnx", Reader(data), **wrong)


def test_same_bytes_as_the_command(model, tmp_path):
    x = np.random.default_rng(5).normal(size=(700, 3, 12, 12)).astype(np.float32)  # more than are kept
    np.save(tmp_path / "x.npy", x)
    out = tmp_path / "command.onnx"
    for options in {}, {"clip": "auto"}, {"shift": True, "equalize": False}:
        flags = [f"--{name}={str(value).lower()}" for name, value in options.items()]
        subprocess.run([COMMAND, "quantize", model, "--calib", tmp_path / "x.npy", "-o", out, *flags], check=True, stdout=subprocess.DEVNULL)
        assert narrow.quantize(model, (x[i : i + 1] for i in range(len(x))), **options).model == out.read_bytes()
        assert narrow.quantize(model, x, **options).model == out.read_bytes()


def test_quantizer(model, data, tmp_path):
    with narrow.Quantizer(model) as q:
        q.feed(data[:60])
        with pytest.raises(narrow.DataError, match="for input .x., which is"):
            q.feed(data[:, :, :-1])
        q.feed(data[60:])
        for name in "a.onnx", "b.onnx":
            q.finish(tmp_path / name)
            assert (tmp_path / name).read_bytes() == narrow.quantize(model, data).model
        with pytest.raises(narrow.ArgumentError, match="finished"):
            q.feed(data)
    bad = data.copy()
    bad[3, 0, 0, 0] = np.nan
    with narrow.Quantizer(model) as q, pytest.raises(narrow.DataError, match="NaN"):
        while True:  # an error in a batch is raised by a later call
            q.feed(bad)
    narrow.Quantizer(model).feed(data)  # and left alone


def test_options(model, data):
    assert narrow.quantize(model, data, clip="max").model != narrow.quantize(model, data, clip="sigma3").model
    with pytest.raises(narrow.ArgumentError, match="clop.*clip"):
        narrow.quantize(model, data, clop="max")
    with pytest.raises(narrow.ArgumentError, match="did you mean .clip"):
        narrow.Quantizer(model, clop="max")
    with pytest.raises(narrow.ArgumentError, match="weight_bits"):
        narrow.quantize(model, data, weight_bits="many")
    with pytest.raises(narrow.NarrowError, match='no node "nothing"'):
        narrow.quantize(model, data, exclude=["nothing"])
    x = np.abs(data * 50).astype(np.uint8)
    a = narrow.quantize(model, x, scale="1/255", mean=[0.4, 0.5, 0.6], std=[0.2, 0.2, 0.3]).model
    assert a == narrow.quantize(model, x, scale=1 / 255, mean=np.array([0.4, 0.5, 0.6]), std=(0.2, 0.2, 0.3)).model


def test_formats(model, data):
    want = run_ort(model, data)
    for options in {"format": "qoperator"}, {"shift": True}, {"bits": {"conv2": (4, 8)}}, {"clip": "auto"}, {"compensate": False, "bias_correction": True}:
        assert sqnr(want, run_ort(narrow.quantize(model, data, **options).model, data)) > 12, options
    with pytest.raises(narrow.ArgumentError, match="format"):
        narrow.quantize(model, data, format="other")


def test_errors(model, data, tmp_path):
    with pytest.raises(narrow.FileError, match="no.onnx"):
        narrow.quantize(tmp_path / "no.onnx", data)
    with pytest.raises(narrow.NarrowError):
        narrow.quantize(b"nonsense", data)
    for wrong, error, says in (
        ([], narrow.DataError, "data: there is no input"),
        (None, narrow.ArgumentError, "data: inputs are needed"),
        (object(), narrow.ArgumentError, "data: object is no array"),
        (data.astype(complex), narrow.DataError, "complex"),
        ({"y": data}, narrow.ArgumentError, "nothing for input 'x'"),
        (np.array(["a", "b"]), narrow.DataError, "no type of numbers"),
    ):
        with pytest.raises(error, match=says):
            narrow.quantize(model, wrong)
    with pytest.raises(narrow.ArgumentError, match="model: int"):
        narrow.quantize(5, data)
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
    s = narrow.Session(narrow.quantize(model, data).model)
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
